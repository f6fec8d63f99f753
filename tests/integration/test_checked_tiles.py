"""What a check of a store found of each tile, as the next program reads it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from aerotile.adapters.checked_tiles import CHECKED_TILES, CheckedTiles, read_wholeness
from aerotile.domain.readiness.held_tiles import DAMAGED, NOT_CHECKED, WHOLE
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource

STORE = UUID(int=1)
FLIGHTS = (UUID(int=7), UUID(int=9))
TILES = [
    TileId(7, 60, 1, TileSource.IMPORTED),
    TileId(7, 60, 2, TileSource.ONBOARD, FLIGHTS[0]),
    TileId(7, 60, 2, TileSource.ONBOARD, FLIGHTS[1]),
    TileId(9, 3, 2, TileSource.SATELLITE_PROVIDER),
]
NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


def row(tile_id: TileId, content: bytes = b"") -> TileMetadataPersistent:
    return TileMetadataPersistent(
        tile_id=tile_id,
        captured_at=NOON,
        content_sha256=hashlib.sha256(content).hexdigest(),
        disk_bytes=5_000,
        ground_sample_distance=1.0,
        tile_uuid=tile_id.tile_uuid,
        created_at=NOON,
        accessed_at=NOON,
        uploaded_at=None,
        upload_attempts=0,
    )


def wholeness(root: Path, tiles: list[TileId], content: bytes = b"", store: UUID = STORE) -> list[int]:
    """Read with another table of variants than the one of the writer."""
    variants = VariantTable(FLIGHTS[::-1])
    keys = [encode_tile_key(tile_id, variants) for tile_id in tiles]
    order = np.argsort(keys)
    digests = np.tile(np.frombuffer(hashlib.sha256(content).digest(), np.uint8), (len(keys), 1))
    found = read_wholeness(root, store, np.array(keys, np.int64)[order], variants, digests)
    return [int(found[position]) for position in np.argsort(order)]


@pytest.fixture
def checked(tmp_path: Path) -> CheckedTiles:
    """A check of all but the last tile, of which the second is damaged; its file is written."""
    check = CheckedTiles()
    for tile_id, whole in zip(TILES[:3], (True, False, True), strict=True):
        check.add(row(tile_id), whole)
    check.write(tmp_path, STORE)
    return check


@pytest.mark.usefixtures("checked")
def test_each_tile_counts_as_the_check_found_it(tmp_path: Path) -> None:
    assert wholeness(tmp_path, TILES) == [WHOLE, DAMAGED, WHOLE, NOT_CHECKED]


@pytest.mark.usefixtures("checked")
def test_a_tile_that_was_changed_since_counts_as_not_checked(tmp_path: Path) -> None:
    assert wholeness(tmp_path, TILES, b"other") == [NOT_CHECKED] * 4


@pytest.mark.usefixtures("checked")
def test_the_check_of_another_store_says_nothing(tmp_path: Path) -> None:
    assert wholeness(tmp_path, TILES, store=UUID(int=2)) == [NOT_CHECKED] * 4


def test_without_a_check_no_tile_is_checked(tmp_path: Path) -> None:
    assert wholeness(tmp_path, TILES) == [NOT_CHECKED] * 4
    assert wholeness(tmp_path, []) == []


@pytest.mark.usefixtures("checked")
def test_a_damaged_file_says_nothing_whatever_its_damage(tmp_path: Path) -> None:
    path = tmp_path / CHECKED_TILES
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        assert wholeness(tmp_path, TILES) == [NOT_CHECKED] * 4, position
    for other in (b"", content[:-1], content + b"x", b"[]\n", b"null\n", b"[" * 9_999 + b"\n"):
        path.write_bytes(other)
        assert wholeness(tmp_path, TILES) == [NOT_CHECKED] * 4


def test_a_resumed_check_counts_before_the_interrupted_one(tmp_path: Path, checked: CheckedTiles) -> None:
    resumed = CheckedTiles()
    resumed.resume(tmp_path, STORE)
    resumed.add(row(TILES[1]), whole=True)
    resumed.add(row(TILES[2]), whole=False)
    resumed.add(row(TILES[3]), whole=True)
    resumed.write(tmp_path, STORE)
    assert wholeness(tmp_path, TILES) == [WHOLE, WHOLE, DAMAGED, WHOLE]
    other = CheckedTiles()
    other.resume(tmp_path, UUID(int=2))
    other.write(tmp_path, STORE)
    assert wholeness(tmp_path, TILES) == [NOT_CHECKED] * 4


def test_a_tile_that_a_repair_took_out_may_come_back(tmp_path: Path, checked: CheckedTiles) -> None:
    checked.forget([TILES[1], TileId(7, 60, 2, TileSource.ONBOARD, UUID(int=11))])
    checked.write(tmp_path, STORE)
    assert wholeness(tmp_path, TILES) == [WHOLE, NOT_CHECKED, WHOLE, NOT_CHECKED]


@pytest.mark.usefixtures("checked")
def test_a_check_that_begins_anew_forgets_the_earlier_one(tmp_path: Path) -> None:
    CheckedTiles.begin(tmp_path)
    assert wholeness(tmp_path, TILES) == [NOT_CHECKED] * 4
    CheckedTiles.begin(tmp_path)  # there is no file any more
