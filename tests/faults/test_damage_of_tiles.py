"""Damage to tiles, sidecars and the store's identity: never read as right, found by verify and mended.

One real store, a tile for each damage, with hashes verified on every read. Every process of the command line
must end with a line a person can use.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from damages import (
    EMPTIED,
    NO_FILES,
    REMOVED,
    REPLACEMENTS,
    Damage,
    appended,
    flip,
    obeying_file_modes,
    of_content,
    rewrite,
)
from fault_tally import FaultTally

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig, ReadsConfig
from aerotile.adapters.filesystem.layout import tile_path
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.errors import StoreUnavailableError, TileCacheError, TileNotFoundError
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CONTENT = [
    *of_content(2005, random.Random(5), each=4),
    EMPTIED,
    flip(2),
    flip(1000, 5),
    appended(b"\xff\xd9"),
]
LOST = {"content_damaged", "file_missing", "not_a_file"}


def pixels_of(number: int) -> bytes:
    return example_jpeg(hashlib.shake_128(str(number).encode()).digest(2000))


def tile_of(number: int) -> tuple[bytes, TileMetadata]:
    pixels = pixels_of(number)
    return pixels, example_metadata(
        TileId(18, 1000 + number, 7, TileSource.IMPORTED),
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.6,
    )


@attrs.frozen
class Store:
    """A store on the disk, whichever process has it open."""

    root: Path
    dsn: str = attrs.field(repr=False)

    def opened(self) -> Runtime:
        """As a flight opens it that trusts no disk."""
        database = DatabaseConfig(dsn=Secret(self.dsn))
        reads = ReadsConfig(verify_hash=True, deadline_s=20.0)
        return Runtime(AerotileConfig(root=self.root, database=database, reads=reads))

    def fill(self, count: int) -> list[TileId]:
        with self.opened() as runtime:
            outcomes = runtime.tile_store.write_tiles([tile_of(number) for number in range(count)])
        assert all(outcome.error is None for outcome in outcomes)
        return [tile_of(number)[1].tile_id for number in range(count)]

    def file(self, tile_id: TileId) -> Path:
        return self.root / "tiles" / tile_path(tile_id).tile

    def sidecar(self, tile_id: TileId) -> Path:
        return self.root / "tiles" / tile_path(tile_id).sidecar

    def aerotile(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command in a process that obeys file modes; it never shows a traceback."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AEROTILE_")}
        ended = subprocess.run(
            obeying_file_modes([sys.executable, "-m", "aerotile.adapters.cli", *arguments]),
            env=environment | {"AEROTILE_ROOT": str(self.root), "AEROTILE_DATABASE_DSN": self.dsn},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode in (0, 1, 2, 3), ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    def verify(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        ended = self.aerotile("verify", "--json", *arguments)
        return ended.returncode, json.loads(ended.stdout)


@pytest.fixture
def store(tmp_path: Path, migrated_database: str) -> Iterator[Store]:
    yield Store(tmp_path / "site", migrated_database)
    for path in (tmp_path / "site").rglob("*"):
        if not path.is_symlink() and not os.access(path, os.R_OK):
            path.chmod(0o700)


def assert_never_wrong(runtime: Runtime, tile_id: TileId, right: bytes) -> None:
    """Reading gives what was stored or an error of the tree, in either way."""
    for read in (
        lambda: bytes(memoryview(runtime.tile_store.read_tile_pixels(tile_id))),
        lambda: runtime.tile_store.read_tile_bytes(tile_id),
    ):
        try:
            assert read() == right
        except TileCacheError as error:
            assert "\n" not in str(error)  # noqa: PT017 - right pixels are as good as an error here


def test_a_damaged_tile_is_never_read_as_right_and_repair_leaves_a_clean_store(
    store: Store, tmp_path: Path, fault_tally: FaultTally
) -> None:
    damages = [*CONTENT, *REPLACEMENTS, REMOVED]
    tile_ids = store.fill(len(damages) + 2)
    whole = tile_ids[-2:]
    for damage, tile_id in zip(damages, tile_ids, strict=False):
        damage.act(store.file(tile_id))
    outside = set(store.root.parent.iterdir())
    with store.opened() as runtime:
        for number, tile_id in enumerate(tile_ids):
            assert_never_wrong(runtime, tile_id, pixels_of(number))
        for number in (len(damages), len(damages) + 1):
            assert runtime.tile_store.read_tile_bytes(tile_ids[number]) == pixels_of(number)

    code, facts = store.verify()
    found = {finding["tile"]: finding["kind"] for finding in facts["findings"]}
    assert code == 1
    for damage, tile_id in zip(damages, tile_ids, strict=False):
        kind = "content_damaged" if damage in CONTENT else "not_a_file"
        assert found.pop(str(tile_id)) == ("file_missing" if damage is REMOVED else kind), damage.name
    assert found == {}
    assert all(finding["remedy"] for finding in facts["findings"])

    code, facts = store.verify("--repair")
    assert code == 3
    assert sorted(facts["fetch_again"]) == sorted(str(t) for t in tile_ids if t not in whole)
    kept = [finding["kept_at"] for finding in facts["findings"] if finding["kind"] != "file_missing"]
    assert all(
        (store.root / "tiles" / path).is_symlink() or (store.root / "tiles" / path).exists() for path in kept
    )
    assert set(store.root.parent.iterdir()) == outside

    whole = {"tiles": 2, "findings": [], "fetch_again": [], "index": [], "index_agreement": None}
    assert store.verify() == (0, whole)
    with store.opened() as runtime:
        outcomes = runtime.tile_store.write_tiles([tile_of(number) for number in range(len(damages))])
        assert [outcome.error for outcome in outcomes] == [None] * len(damages)
        for number, tile_id in enumerate(tile_ids):
            assert runtime.tile_store.read_tile_bytes(tile_id) == pixels_of(number)
    assert store.verify()[0] == 0
    fault_tally.add("damage: tile", len(damages))


def test_a_damaged_sidecar_costs_nothing_and_is_restored(store: Store, fault_tally: FaultTally) -> None:
    damages = [*of_content(72, random.Random(6), each=8), EMPTIED, *REPLACEMENTS, REMOVED]
    tile_ids = store.fill(2 * len(damages))
    opening, checking = tile_ids[: len(damages)], tile_ids[len(damages) :]

    # What stands there when the store is opened is mended then, as far as names show it.
    for damage, tile_id in zip(damages, opening, strict=True):
        damage.act(store.sidecar(tile_id))
    with store.opened() as runtime:
        for number, tile_id in enumerate(tile_ids):
            assert runtime.tile_store.read_tile_bytes(tile_id) == pixels_of(number)

    for damage, tile_id in zip(damages, checking, strict=True):
        damage.act(store.sidecar(tile_id))
    code, facts = store.verify()
    assert code == 0
    assert {finding["kind"] for finding in facts["findings"]} == {"sidecar_missing", "sidecar_wrong"}
    assert {finding["tile"] for finding in facts["findings"]} >= {str(tile_id) for tile_id in checking}
    assert all(finding["mended"] for finding in facts["findings"])
    for number, tile_id in enumerate(tile_ids):
        expected = f"{hashlib.sha256(pixels_of(number)).hexdigest()}  7.jpg\n"
        assert not store.sidecar(tile_id).is_symlink()
        assert store.sidecar(tile_id).read_text() == expected
    assert store.verify()[1]["findings"] == []
    fault_tally.add("damage: sidecar", 2 * len(damages))


@pytest.mark.parametrize(
    "damage", [*of_content(37, random.Random(7), each=3), EMPTIED, *REPLACEMENTS], ids=str
)
def test_a_damaged_identity_is_refused_and_costs_no_tile(
    store: Store, damage: Damage, fault_tally: FaultTally
) -> None:
    tile_ids = store.fill(2)
    identity = store.root / "tiles" / ".aerotile-store"
    good = identity.read_bytes()
    damage.act(identity)
    with pytest.raises(StoreUnavailableError) as refused, store.opened() as runtime:
        runtime.part("tile_store")
    assert refused.value.remedy
    assert all(store.file(tile_id).is_file() for tile_id in tile_ids)
    if identity.is_dir() and not identity.is_symlink():
        shutil.rmtree(identity)
    else:
        identity.unlink()
    identity.write_bytes(good)
    with store.opened() as runtime:
        assert runtime.tile_store.read_tile_bytes(tile_ids[1]) == pixels_of(1)
    fault_tally.add("damage: store's identity", 1)


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("imported", "link"),
        ("imported/18", "pipe"),
        ("imported/18/1000", "link"),
        ("imported/18/1000", "file"),
    ],
)
def test_a_folder_that_is_no_longer_ours_is_not_entered(
    store: Store, tmp_path: Path, folder: str, kind: str
) -> None:
    tile_ids = store.fill(2)
    place = store.root / "tiles" / folder
    elsewhere = tmp_path / "elsewhere"
    place.rename(elsewhere)
    files = {path: path.read_bytes() for path in elsewhere.rglob("*.jpg*")}
    {"link": lambda: place.symlink_to(elsewhere), "pipe": lambda: os.mkfifo(place), "file": place.touch}[
        kind
    ]()
    with store.opened() as runtime, pytest.raises(TileNotFoundError):
        runtime.tile_store.read_tile_pixels(tile_ids[0])
    code, facts = store.verify("--repair")
    assert code == 1
    assert {f["kind"] for f in facts["findings"] if f["tile"] == str(tile_ids[0])} == {"file_unreadable"}
    place.unlink()
    assert {path: path.read_bytes() for path in elsewhere.rglob("*.jpg*")} == files
    elsewhere.rename(place)
    assert store.verify()[0] == 0


def test_a_tile_that_may_not_be_read_is_named_and_left_where_it_is(store: Store) -> None:
    tile_ids = store.fill(3)
    store.file(tile_ids[1]).chmod(0)
    code, facts = store.verify("--repair")
    assert code == 1
    (finding,) = facts["findings"]
    assert (finding["kind"], finding["tile"]) == ("file_unreadable", str(tile_ids[1]))
    assert "Permission denied" in finding["detail"]
    store.file(tile_ids[1]).chmod(0o440)
    assert store.verify()[0] == 0


@pytest.mark.parametrize("damage", [*NO_FILES, *CONTENT[:4], REMOVED], ids=str)
def test_pixels_that_are_open_stay_right_whatever_takes_the_file_s_place(
    store: Store, damage: Damage, fault_tally: FaultTally
) -> None:
    (tile_id,) = store.fill(1)
    with store.opened() as runtime:
        handle = runtime.tile_store.read_tile_pixels(tile_id)
        damage.act(store.file(tile_id))
        assert bytes(memoryview(handle)) == pixels_of(0)
        assert bytes(memoryview(runtime.tile_store.read_tile_pixels(tile_id))) == pixels_of(0)
        rewrite_or_leave(store.file(tile_id))
        assert bytes(memoryview(handle)) == pixels_of(0)
    fault_tally.add("damage: tile while open", 1)


def rewrite_or_leave(path: Path) -> None:
    """Once more another file, where there is one."""
    if path.is_file():
        rewrite(path, example_jpeg(b"something else"))
