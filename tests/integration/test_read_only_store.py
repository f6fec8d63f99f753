"""A reader beside a store in use: it finds what others commit, and leaves everything as it is."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from disk_faults import files_below
from small_store import SmallStore, tile

from aerotile.domain.errors import StoreUnavailableError, TileNotFoundError
from aerotile.domain.store.catalogue_sync import CatalogueSync
from aerotile.domain.store.read_only_store import ReadOnlyTileStore
from aerotile.domain.values.tile_changes import ChangeKind, TileChange
from aerotile.ext import CompiledMappingCache, CompiledTileCatalogue


def reader_of(small: SmallStore, *, verify_hash: bool = False) -> ReadOnlyTileStore:
    sync = CatalogueSync(
        small.rows, small.files, CompiledTileCatalogue(), CompiledMappingCache(max_count=0, max_bytes=0)
    )
    return ReadOnlyTileStore(
        small.rows, small.files, sync=sync, judge=small.store.judge, verify_hash=verify_hash
    )


def test_opening_and_reading_leave_files_and_rows_as_they_are(tmp_path: Path) -> None:
    small = SmallStore(tmp_path / "tiles")
    small.write_batch(7, 3)
    orphan = tmp_path / "tiles" / "imported" / "18" / "7" / "99.jpg"
    orphan.write_bytes(b"\xff\xd8 nobody's")
    without_file = tile(7, 1)[1].tile_id
    (tmp_path / "tiles" / "imported" / "18" / "7" / "1.jpg").unlink()
    files, rows = files_below(tmp_path / "tiles"), list(small.rows.committed())
    reader = reader_of(small)
    for pixels, metadata in (tile(7, 0), tile(7, 2)):
        assert reader.read_tile_bytes(metadata.tile_id) == pixels
    with pytest.raises(TileNotFoundError):
        reader.read_tile_bytes(without_file)
    assert files_below(tmp_path / "tiles") == files
    assert list(small.rows.committed()) == rows
    assert list(small.rows.marked_missing()) == []


def test_it_follows_what_others_commit(tmp_path: Path) -> None:
    small = SmallStore(tmp_path / "tiles")
    reader = reader_of(small)
    pixels, metadata = tile(7, 5)
    small.store.write_tile(pixels, metadata)
    reader.apply_changes([TileChange(ChangeKind.ADDED, metadata.tile_id)])
    assert reader.read_tile_bytes(metadata.tile_id) == pixels
    small.store.delete_tile(metadata.tile_id)
    reader.apply_changes([TileChange(ChangeKind.REMOVED, metadata.tile_id)])
    assert not reader.tile_exists(metadata.tile_id)
    small.write_batch(8, 2)
    reader.reload()
    assert len(reader) == len(reader.tile_keys()) == 2


def test_a_tile_that_another_process_has_just_replaced_is_whole_before_its_change_is_told(
    tmp_path: Path,
) -> None:
    small = SmallStore(tmp_path / "tiles")
    small.write(7, 5)
    reader = reader_of(small, verify_hash=True)
    pixels, other = tile(7, 6)
    metadata = attrs.evolve(other, tile_id=tile(7, 5)[1].tile_id)
    small.store.replace_tile(pixels, metadata)
    with reader.read_tile_pixels(metadata.tile_id) as handle:
        assert bytes(memoryview(handle)) == pixels


def test_files_of_another_database_are_refused(tmp_path: Path) -> None:
    small = SmallStore(tmp_path / "tiles")
    small.write(7, 5)
    other = SmallStore(tmp_path / "other")
    other.files = small.files
    with pytest.raises(StoreUnavailableError, match="belong to another database"):
        reader_of(other)
