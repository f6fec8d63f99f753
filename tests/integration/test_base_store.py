"""Reads of a sealed base: damage costs one tile."""

from __future__ import annotations

import hashlib
import itertools
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from older_kernel import REFUSE
from sealed_bases import NOBODY, opened, seal, square

from aerotile.adapters.memory.recall_source import MemoryRecallSource
from aerotile.adapters.sealed_base import seal as seal_module
from aerotile.adapters.sealed_base.facts import FACTS_ROW, PART_BYTES, PART_ROWS
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.mapped_base import MappedBase, open_base
from aerotile.adapters.sealed_base.store import SealedTileStore
from aerotile.domain.errors import (
    BaseUnavailableError,
    ContentHashMismatchError,
    TileRecalledError,
)
from aerotile.domain.policies.freshness import FreshnessVerdict
from aerotile.domain.store.recall_guard import RecallGuard
from aerotile.domain.values.recall_list import RecallList
from aerotile.domain.values.tile_key import decode_tile_key, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import FACTS_ROW_BYTES, SealedTiles, map_file

TILES = square(40)  # so many that the facts have several parts


def no_judge(tile_id: TileId, captured_us: int) -> FreshnessVerdict:
    raise AssertionError("nothing is judged here")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base")
    seal(root, TILES)
    return root


def base_in(root: Path) -> MappedBase:
    return open_base(BaseGenerations(root), "000001", NOBODY, require_signature=False)


def damaged_copy(root: Path, target: Path, name: str, *positions: int) -> Path:
    """Another root whose generation has changed bytes in one file."""
    folder = target / "generations" / "000001"
    folder.mkdir(parents=True)
    for path in (root / "generations" / "000001").iterdir():
        content = bytearray(path.read_bytes())
        for position in positions if path.name == name else ():
            content[position] ^= 0x40
        (folder / path.name).write_bytes(content)
    return target


def row_of(root: Path, tile_id: TileId) -> tuple[int, np.void]:
    """The position of a tile's facts, and the facts."""
    rows = np.frombuffer((root / "generations" / "000001" / "facts").read_bytes(), FACTS_ROW)
    wanted = hashlib.sha256({row.tile_id: pixels for row, pixels in TILES}[tile_id]).digest()
    position = [row["sha256"].tobytes() for row in rows].index(wanted)
    return position, rows[position]


def test_the_compiled_row_is_the_row_of_the_file() -> None:
    assert FACTS_ROW.itemsize == FACTS_ROW_BYTES == 104
    assert PART_BYTES == PART_ROWS * FACTS_ROW_BYTES
    assert PART_BYTES % 4096 == 0


def test_a_damaged_tile_is_refused_each_time_and_costs_only_itself(root: Path, tmp_path: Path) -> None:
    victim = TILES[777][0].tile_id
    facts = row_of(root, victim)[1]
    copy = damaged_copy(root, tmp_path / "copy", "tiles.pmtiles", int(facts["offset"]) + 9)
    seen: list[tuple[TileId, str, str]] = []
    store = SealedTileStore(base_in(copy), judge=no_judge, when_damaged=lambda *facts: seen.append(facts))
    for read in (store.read_tile_pixels, store.read_tile_bytes, store.read_tile_pixels):
        with pytest.raises(ContentHashMismatchError) as caught:
            read(victim)
        assert caught.value.tile_id == victim
    assert [tile_id for tile_id, _, _ in seen] == [victim] * 3
    assert {expected for _, expected, _ in seen} == {TILES[777][0].content_sha256}
    for row, pixels in TILES:
        if row.tile_id != victim:
            assert store.read_tile_bytes(row.tile_id) == pixels


def test_a_tile_that_is_recalled_while_its_first_read_is_under_way_is_refused(root: Path) -> None:
    """The list comes between the check of the tile and the mark that it was checked."""
    victim, digest = TILES[777][0].tile_id, TILES[777][0].content_sha256
    source = MemoryRecallSource()

    class Overtaken(RecallGuard):
        def check(self, tile_id: TileId, captured_us: int | None, content_sha256: str | None) -> None:
            super().check(tile_id, captured_us, content_sha256)
            if self.in_force is None:
                source.put(RecallList(number=1, reason="forged", digests=[digest]))
                self.look()

    guard = Overtaken(source, lambda event: None)
    store = SealedTileStore(base_in(root), judge=no_judge, recalls=guard)
    for _ in range(2):
        with pytest.raises(TileRecalledError):
            store.read_tile_pixels(victim)


def test_a_capture_time_that_no_calendar_has_is_an_error_of_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a hostile base has it whose digests are right, where no signature is required."""
    made = seal_module.facts_row

    def impossible(*given: Any) -> tuple[Any, ...]:
        key, offset, _, *others = made(*given)
        return key, offset, -(1 << 62) if given[0].tile_id == TILES[3][0].tile_id else 0, *others

    monkeypatch.setattr(seal_module, "facts_row", impossible)
    store = SealedTileStore(opened(tmp_path / "base", TILES[:9]), judge=no_judge)
    tile_id = TILES[3][0].tile_id
    for ask in (
        store.verdict,
        store.captured_us,
        store.read_tile_pixels,
        lambda tile_id: list(store.query_by_bbox(tile_id.bbox, tile_id.zoom_level)),
    ):
        with pytest.raises(BaseUnavailableError, match="a capture time that no calendar has"):
            ask(tile_id)


def test_where_reads_are_not_verified_the_scrub_alone_finds_damage(root: Path, tmp_path: Path) -> None:
    victim = TILES[777][0].tile_id
    offset = int(row_of(root, victim)[1]["offset"])
    copy = damaged_copy(root, tmp_path / "copy", "tiles.pmtiles", offset + 9)
    store = SealedTileStore(base_in(copy), judge=no_judge, verify_reads=False)
    assert store.read_tile_bytes(victim) != TILES[777][1]


def test_damaged_facts_are_never_used(root: Path, tmp_path: Path) -> None:
    """Whatever byte of a part is damaged, no tile is read by it: not by its key, its offset or its length."""
    victim = TILES[777][0].tile_id
    position, _ = row_of(root, victim)
    begin = position * FACTS_ROW.itemsize
    for field in FACTS_ROW.names or ():
        at = begin + (FACTS_ROW.fields or {})[field][1]
        copy = damaged_copy(root, tmp_path / field, "facts", at)
        store = SealedTileStore(base_in(copy), judge=no_judge)
        for _ in range(2):
            with pytest.raises(BaseUnavailableError, match="facts is damaged"):
                store.read_tile_pixels(victim)
        with pytest.raises(BaseUnavailableError):
            store.tile_exists(victim)
        with pytest.raises(BaseUnavailableError):
            store.query_by_bbox(victim.bbox, victim.zoom_level)


def test_damage_to_a_part_of_the_facts_costs_the_tiles_of_that_part_alone(root: Path, tmp_path: Path) -> None:
    rows = np.frombuffer((root / "generations" / "000001" / "facts").read_bytes(), FACTS_ROW)
    parts = [
        set(piece["sha256"].tolist()) for piece in np.split(rows, range(PART_ROWS, len(rows), PART_ROWS))
    ]
    assert len(parts) > 3
    for number in range(len(parts)):
        position = number * PART_BYTES + 17 * FACTS_ROW.itemsize
        copy = damaged_copy(root, tmp_path / str(number), "facts", position)
        store = SealedTileStore(base_in(copy), judge=no_judge)
        for row, pixels in TILES:
            if bytes.fromhex(row.content_sha256) in parts[number]:
                with pytest.raises(BaseUnavailableError, match="facts is damaged"):
                    store.read_tile_pixels(row.tile_id)
            else:
                assert store.read_tile_bytes(row.tile_id) == pixels


def test_a_part_of_the_facts_is_hashed_once_and_before_its_first_use(root: Path) -> None:
    base = base_in(root)
    checked: list[int] = []
    tiles = SealedTiles(
        base.facts,
        base.archive,
        base.signed.manifest.variants,
        base.first_keys,
        part_rows=PART_ROWS,
        data_offset=0,
        check_part=checked.append,
        check_tile=lambda row: None,
        otherwise=lambda tile_id: pytest.fail(f"{tile_id} is there"),
    )
    order = [row.tile_id for row, _ in TILES]
    random.Random(5).shuffle(order)
    for tile_id in order:
        tiles.read_pixels(tile_id).close()
    assert sorted(checked) == list(range(-(-len(TILES) // PART_ROWS)))


def test_facts_that_lead_out_of_the_archive_are_refused(root: Path, tmp_path: Path) -> None:
    """A base without a signature may hold any facts, with digests that agree."""
    base = base_in(root)
    size = base.archive.nbytes
    for offset, length in ((size, 1), (size - 5, 6), (0, 10), (1 << 63, 5), ((1 << 64) - 1, 2), (20_000, 0)):
        rows = np.frombuffer(memoryview(base.facts), FACTS_ROW).copy()
        rows["offset"], rows["length"] = offset, length
        path = tmp_path / "facts"
        path.write_bytes(rows.tobytes())
        with path.open("rb") as file:
            facts = map_file(file.fileno())
        tiles = SealedTiles(
            facts,
            base.archive,
            base.signed.manifest.variants,
            base.first_keys,
            part_rows=PART_ROWS,
            data_offset=16_384,
            check_part=lambda number: None,
            check_tile=lambda row: None,
            otherwise=lambda tile_id: pytest.fail(f"{tile_id} is there"),
        )
        with pytest.raises(ValueError, match="not within the archive"):
            tiles.read_pixels(TILES[0][0].tile_id)
        with pytest.raises(ValueError, match="not within the archive"):
            tiles.raw_pixels(0)


def test_a_part_that_begins_with_an_impossible_key_is_refused(root: Path) -> None:
    base = base_in(root)
    for key in (-5, (1 << 14) - 1):
        keys = key.to_bytes(8, "little", signed=True) * (len(base.first_keys) // 8)
        store = SealedTileStore(attrs.evolve(base, first_keys=keys), judge=no_judge)
        with pytest.raises(BaseUnavailableError, match="name a tile that there is none of"):
            store.tile_exists(TILES[0][0].tile_id)


def test_each_row_is_found_by_its_key_and_no_other_tile_is(root: Path, tmp_path: Path) -> None:
    """Whatever is left over of a part, or of the rows between two sampled keys."""
    base = base_in(root)
    variants = base.signed.manifest.variants
    column = [TileId(14, x, 5_000, TileSource.IMPORTED) for x in range(3_000)]
    column.sort(key=lambda tile_id: encode_tile_key(tile_id, variants))
    for count in (1, 2, 7, 8, 9, 15, 17, 511, 512, 513, 519, 520, 521, 1_024, 1_030):
        stored = sorted(random.Random(count).sample(range(len(column)), count))
        rows = np.zeros(count, FACTS_ROW)
        rows["key"] = [encode_tile_key(column[place], variants) for place in stored]
        path = tmp_path / f"facts{count}"
        path.write_bytes(rows.tobytes())
        with path.open("rb") as file:
            facts = map_file(file.fileno())
        tiles = SealedTiles(
            facts,
            base.archive,
            variants,
            rows["key"][::PART_ROWS].tobytes(),
            part_rows=PART_ROWS,
            data_offset=16_384,
            check_part=lambda number: None,
            check_tile=lambda row: None,
            otherwise=lambda tile_id: pytest.fail(f"{tile_id} is there"),
        )
        expected = {column[place]: row for row, place in enumerate(stored)}
        assert {tile_id: tiles.row_at(tile_id) for tile_id in column} == {
            tile_id: expected.get(tile_id) for tile_id in column
        }


def test_a_part_of_the_facts_that_samples_do_not_divide_is_refused(root: Path) -> None:
    base = base_in(root)
    for part_rows in (-8, 0, 4, 20):
        with pytest.raises(ValueError, match="part_rows must be a multiple of 8"):
            SealedTiles(
                base.facts,
                base.archive,
                base.signed.manifest.variants,
                base.first_keys,
                part_rows=part_rows,
                data_offset=16_384,
                check_part=lambda number: None,
                check_tile=lambda row: None,
                otherwise=lambda tile_id: None,
            )


@pytest.mark.timeout(60)
def test_a_search_in_facts_that_do_not_ascend_ends(root: Path, tmp_path: Path) -> None:
    """A base without a signature may hold any facts; a search that goes back in them would never end."""
    base = base_in(root)
    places = [(9, 8), (1, 1), (8, 8), (2, 3), (11, 8), (9, 9), (8, 9), (1, 7)]
    chance = random.Random(5)
    for number in range(40):
        chance.shuffle(places)
        rows = np.zeros(len(places), FACTS_ROW)
        rows["key"] = [
            encode_tile_key(TileId(14, x, y, TileSource.IMPORTED), base.signed.manifest.variants)
            for x, y in places
        ]
        path = tmp_path / f"facts{number}"
        path.write_bytes(rows.tobytes())
        with path.open("rb") as file:
            facts = map_file(file.fileno())
        tiles = SealedTiles(
            facts,
            base.archive,
            base.signed.manifest.variants,
            rows["key"][:1].tobytes(),
            part_rows=PART_ROWS,
            data_offset=16_384,
            check_part=lambda number: None,
            check_tile=lambda row: None,
            otherwise=lambda tile_id: pytest.fail(f"{tile_id} is there"),
        )
        for first, last in itertools.combinations_with_replacement(range(12), 2):
            assert len(tiles.query(14, first, first, last, last)) <= len(places)


def test_pixels_share_the_mapping_and_outlive_the_base_and_its_files(tmp_path: Path) -> None:
    root = tmp_path / "base"
    base = opened(root, TILES[:9])
    store = SealedTileStore(base, judge=no_judge)
    handles = [store.read_tile_pixels(row.tile_id) for row, _ in TILES[:9]]
    addresses = [np.frombuffer(memoryview(handle), np.uint8).ctypes.data for handle in handles]
    assert max(addresses) - min(addresses) < base.archive.nbytes
    base.close()
    del store, base
    for path in (root / "generations" / "000001").iterdir():
        path.unlink()
    for handle, (_, pixels) in zip(handles, TILES[:9], strict=True):
        assert bytes(memoryview(handle)) == pixels
        handle.close()


@pytest.mark.parametrize("kernel", ["", REFUSE], ids=["this kernel", "a kernel before 5.14"])
def test_a_base_whose_pages_the_disk_does_not_give_is_an_error_and_no_signal(
    tmp_path: Path, kernel: str
) -> None:
    """A file that is cut short under its mapping gives no page, as a failing disk does not."""
    root = tmp_path / "base"
    seal(root, TILES[:900])
    program = """
import os, sys
from pathlib import Path
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.mapped_base import open_base
from aerotile.adapters.signatures import Trust
from aerotile.adapters.sealed_base.store import SealedTileStore
from aerotile.domain.errors import BaseUnavailableError, StoreUnavailableError
from aerotile.domain.values.tiles import TileId, TileSource

root = Path(sys.argv[1])
folder = root / "generations" / "000001"
base = open_base(BaseGenerations(root), "000001", Trust((), 1), require_signature=False)
store = SealedTileStore(base, judge=lambda tile_id, captured_us: None)
near, far = (TileId(12, 2000 + x, 1500 + x, TileSource.IMPORTED) for x in (0, 21))
assert store.tile_exists(near) and store.tile_exists(far)
os.truncate(folder / "tiles.pmtiles", 20_000)
try:
    store.read_tile_pixels(far)
except StoreUnavailableError as error:
    print("tile:", error)
store = SealedTileStore(base, judge=lambda tile_id, captured_us: None)
os.truncate(folder / "facts", 0)
try:
    store.tile_exists(far)
except BaseUnavailableError as error:
    print("facts:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", kernel + program, str(root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tile: can't read tile imported/12/2021/1521 of the sealed base")
    assert lines[1].startswith("facts: ")
    assert "the disk does not give facts" in lines[1]


def test_many_threads_read_a_base_that_nobody_read_before(root: Path) -> None:
    store = SealedTileStore(base_in(root), judge=no_judge)
    expected = {row.tile_id: pixels for row, pixels in TILES}

    def read(seed: int) -> int:
        order = list(expected)
        random.Random(seed).shuffle(order)
        return sum(store.read_tile_bytes(tile_id) == expected[tile_id] for tile_id in order)

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(read, range(6))) == [len(expected)] * 6


def test_the_keys_of_a_base_are_those_of_its_tiles_and_never_those_of_damaged_facts(
    root: Path, tmp_path: Path
) -> None:
    base = base_in(root)
    variants = base.signed.manifest.variants
    assert {decode_tile_key(key, variants) for key in base.tile_keys().tolist()} == {
        row.tile_id for row, _ in TILES
    }
    copy = damaged_copy(root, tmp_path / "copy", "facts", PART_BYTES + 8)
    with pytest.raises(BaseUnavailableError, match="facts is damaged"):
        base_in(copy).tile_keys()
