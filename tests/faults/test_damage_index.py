"""Damage to the descriptor index, file by file, byte class by byte class: refused with a remedy, never used.

The hashes are as they were built here; for files whose hashes were made to agree, see
test_damage_of_sealed_index.py. `TEST_DAMAGES` says how many places of each byte class are damaged.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from damages import (
    EMPTIED,
    REMOVED,
    REPLACEMENTS,
    Damage,
    appended,
    flip,
    obeying_file_modes,
    of_content,
    rewrite,
    truncated,
)
from fault_tally import FaultTally

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.check import check_generations
from aerotile.adapters.faiss.index_layout import check_layout
from aerotile.domain.errors import IndexBuildError, IndexUnavailableError
from aerotile.domain.values.areas import Area
from aerotile.domain.values.descriptors import VectorStorage
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource

PLACES = int(os.environ.get("TEST_DAMAGES", "3"))
COUNT, DIMENSION = 300, 12
FILES = ("tiles.index", "tiles.index.sha256", "tiles.meta.json", "tiles.rows", "tiles.descriptors")
TILES = [TileId(18, number, 7, TileSource.SATELLITE_PROVIDER) for number in range(COUNT)]
EVERYWHERE = Area((Bbox(-90, -180, 90, 180),))
VECTORS = np.random.default_rng(11).normal(size=(COUNT, DIMENSION)).astype(np.float32)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + 5 * PLACES)]


@pytest.fixture(scope="module", params=list(VectorStorage), ids=lambda storage: storage.value)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two generations, of float16 or float32 vectors."""
    root = tmp_path_factory.mktemp("built") / "index"
    index = FaissDescriptorIndex(root, storage=request.param)
    for day in (1, 2):
        moment = datetime(2026, 5, day, tzinfo=timezone.utc)
        index.rebuild(TILES, VECTORS, descriptor_model="a-network", built_at=moment)
    return root


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    """A copy of it to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "index", symlinks=True))


def newest(root: Path) -> Path:
    return root / "generations" / "000002"


def assert_refused(root: Path) -> None:
    """It is refused in one line with a remedy, verify finds it, and a rollback brings the good one back."""
    with pytest.raises(IndexUnavailableError) as refused:
        # Place-ordered descriptors are hashed by the searches that need them.
        FaissDescriptorIndex(root).search_within(VECTORS[0], 1, EVERYWHERE)
    assert str(root) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "rollback" in str(refused.value.remedy)
    findings = check_generations(root)
    assert [finding.in_use for finding in findings] == [True]
    assert findings[0].remedy


def assert_rollback_mends(root: Path) -> None:
    mended = FaissDescriptorIndex(root, open_existing=False)
    mended.rollback("000001")
    for opened in (mended, FaissDescriptorIndex(root)):
        assert [hit.tile_id for hit in opened.search(VECTORS[5], 1)] == [TILES[5]]


def test_every_byte_class_of_the_index_file_is_held_by_its_hash(index: Path, fault_tally: FaultTally) -> None:
    path = newest(index) / "tiles.index"
    good = path.read_bytes()
    chance = random.Random(1)
    classes = check_layout(good)
    assert {"index magic", "levels", "offsets", "links", "entry", "codes", "ids"} <= set(classes)
    runs = 0
    for section in classes.values():
        if section.begin == section.end:
            continue
        damages = [flip(section.begin), flip(section.end - 1, 7), truncated(section.begin)]
        damages += [flip(chance.randrange(section.begin, section.end), 3) for _ in range(PLACES)]
        for damage in damages:
            damage.act(path)
            assert_refused(index)
            rewrite(path, good)
            runs += 1
    FaissDescriptorIndex(index).search(VECTORS[0], 1)
    fault_tally.add("damage: index file", runs)


@pytest.mark.parametrize("name", FILES)
def test_flips_cuts_and_more_are_refused_in_each_file(
    index: Path, name: str, fault_tally: FaultTally
) -> None:
    path = newest(index) / name
    good = path.read_bytes()
    damages = [*of_content(len(good), random.Random(2), each=2 * PLACES), appended(good), REMOVED, EMPTIED]
    for damage in damages:
        damage.act(path)
        assert_refused(index)
        path.write_bytes(good)
    assert_rollback_mends(index)
    fault_tally.add("damage: index files", len(damages))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", REPLACEMENTS, ids=str)
def test_what_stands_in_a_file_s_place_is_refused_at_once(
    index: Path, name: str, damage: Damage, fault_tally: FaultTally
) -> None:
    damage.act(newest(index) / name)
    assert_refused(index)
    assert_rollback_mends(index)
    fault_tally.add("damage: index files", 1)


def test_every_byte_of_the_pointer_counts(index: Path, fault_tally: FaultTally) -> None:
    path = index / "current"
    good = path.read_bytes()
    damages = [flip(place, bit) for place in range(len(good) - 1) for bit in range(8)]
    damages += [truncated(length) for length in range(len(good) - 1)]
    damages += [appended(b"\n"), appended(b"0" * 100), appended(b"/../../.."), EMPTIED]
    for damage in damages:
        damage.act(path)
        assert_refused(index)
        rewrite(path, good)
    assert_rollback_mends(index)
    fault_tally.add("damage: index pointer", len(damages))


@pytest.mark.parametrize("damage", REPLACEMENTS, ids=str)
def test_what_stands_in_the_pointer_s_place_is_refused_at_once(
    index: Path, damage: Damage, fault_tally: FaultTally
) -> None:
    damage.act(index / "current")
    if (index / "current").is_dir():
        with pytest.raises(IndexUnavailableError, match="Is a directory"):
            FaissDescriptorIndex(index)
        # No rename replaces a folder: whoever made it has to take it away.
        with pytest.raises(IndexUnavailableError, match="directory"):
            FaissDescriptorIndex(index, open_existing=False).rollback()
    else:
        assert_refused(index)
        assert_rollback_mends(index)
    fault_tally.add("damage: index pointer", 1)


@pytest.mark.parametrize("folder", ["generations", "generations/000002"])
def test_a_link_in_the_way_to_a_generation_is_not_followed(index: Path, tmp_path: Path, folder: str) -> None:
    (index / folder).rename(tmp_path / "elsewhere")
    (index / folder).symlink_to(tmp_path / "elsewhere")
    before = sorted(path.name for path in (tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(IndexUnavailableError, match=r"symbolic link|names no generation"):
        FaissDescriptorIndex(index)
    if folder == "generations":
        with pytest.raises(IndexBuildError, match="symbolic link"):
            FaissDescriptorIndex(index, open_existing=False).rebuild(
                TILES, VECTORS, descriptor_model="a-network", built_at=datetime.now(timezone.utc)
            )
    assert sorted(path.name for path in (tmp_path / "elsewhere").rglob("*")) == before


@pytest.mark.parametrize("damage", REPLACEMENTS, ids=str)
def test_what_stands_in_the_lock_s_place_takes_no_build_out_of_the_root(index: Path, damage: Damage) -> None:
    damage.act(index / ".lock")
    builder = FaissDescriptorIndex(index)
    with suppress(IndexUnavailableError, IndexBuildError):
        builder.rollback("000001")
    assert builder.search(VECTORS[3], 1)[0].tile_id == TILES[3]
    assert not Path("/nowhere").exists()


def test_a_file_that_is_replaced_or_removed_while_it_is_open_is_searched_on(index: Path) -> None:
    opened = FaissDescriptorIndex(index)
    for name in FILES:
        rewrite(newest(index) / name, b"something else")
    shutil.rmtree(newest(index))
    (index / "current").unlink()
    assert [hit.tile_id for hit in opened.search(VECTORS[9], 1)] == [TILES[9]]


OPENING = """
import sys
from pathlib import Path
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.errors import IndexUnavailableError
try:
    FaissDescriptorIndex(Path(sys.argv[1]))
except IndexUnavailableError as error:
    print(error)
"""


@pytest.mark.parametrize("name", [*FILES, "../../current"])
def test_a_file_that_may_not_be_read_is_named(index: Path, name: str) -> None:
    (newest(index) / name).chmod(0)
    opening = subprocess.run(
        obeying_file_modes([sys.executable, "-c", OPENING, str(index)]),
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Permission denied" in opening.stdout
    assert Path(name).name in opening.stdout


CUT_WHILE_IT_IS_HASHED = """
import os, sys
from pathlib import Path
from aerotile.adapters.files import mapped_file
path = Path(sys.argv[1])
mapping = mapped_file.map_generation_file(path.parent, path.name)
os.truncate(path, 4096)
try:
    mapped_file.sha256_of_mapping(mapping, path)
except OSError as error:
    print(error.strerror)
"""


def test_an_index_that_is_cut_short_while_it_is_opened_is_an_error_not_the_end(index: Path) -> None:
    path = newest(index) / "tiles.index"
    hashing = subprocess.run(
        [sys.executable, "-c", CUT_WHILE_IT_IS_HASHED, str(path)], check=False, capture_output=True, text=True
    )
    assert hashing.returncode == 0, hashing.stderr
    assert hashing.stdout == "the disk does not give all of it\n"


def test_metadata_are_read_key_by_key(index: Path, fault_tally: FaultTally) -> None:
    path = newest(index) / "tiles.meta.json"
    facts = json.loads(path.read_bytes())
    runs = 0
    for key in facts:
        for changed in ({k: v for k, v in facts.items() if k != key}, facts | {key: None}):
            rewrite(path, json.dumps(changed).encode())
            assert_refused(index)
            runs += 1
    fault_tally.add("damage: index metadata", runs)
