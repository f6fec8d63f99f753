"""A store behind a sealed base: what it refuses, and which of two tiles is read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import attrs
import pytest
from sealed_bases import CAPTURED_AT, NOBODY, Tile, imported, opened, pixels_of, seal, square, tile
from small_store import SmallStore

from aerotile import AerotileConfig, BaseConfig, DatabaseConfig, Secret
from aerotile.adapters.composition import Runtime
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.store import SealedTileStore
from aerotile.domain.errors import (
    CaptureTimeConflictError,
    DuplicateTileError,
    SealedTileError,
    TileNotFoundError,
)
from aerotile.domain.flight_events import EventKind
from aerotile.domain.policies.clock_trust import ClockFaultReason
from aerotile.domain.store.layered_store import LayeredTileStore
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource
from aerotile.domain.values.timestamps import microseconds_of

TILES = square(3)


def layered(tmp_path: Path, sealed: list[Tile]) -> tuple[LayeredTileStore, SmallStore, MemoryFlightRecorder]:
    small, recorder = SmallStore(tmp_path / "tiles"), MemoryFlightRecorder()
    base = SealedTileStore(
        opened(tmp_path / "base", sealed), judge=small.store.judge, otherwise=small.store.read_tile_pixels
    )
    store = LayeredTileStore(base, small.store, recorder=recorder, read_pixels=base.read_tile_pixels)
    return store, small, recorder


def metadata_of(row: TileMetadataPersistent) -> TileMetadata:
    return TileMetadata(**{field.name: getattr(row, field.name) for field in attrs.fields(TileMetadata)})


def newer(tile_id: TileId) -> tuple[bytes, TileMetadata]:
    """Newer imagery of a tile."""
    row, pixels = tile(tile_id, pixels_of(98))
    return pixels, attrs.evolve(metadata_of(row), captured_at=CAPTURED_AT + timedelta(days=1))


def test_writing_a_tile_of_the_base_is_a_duplicate_that_is_on_the_record(tmp_path: Path) -> None:
    store, small, recorder = layered(tmp_path, TILES[:5])
    row, pixels = tile(TILES[2][0].tile_id, pixels_of(99))
    with pytest.raises(DuplicateTileError):
        store.write_tile(pixels, row)
    new = imported(3, 1, 1)
    outcomes = store.write_tiles([(pixels, row), (new[1], new[0]), (pixels, row)])
    assert [outcome.stored is not None for outcome in outcomes] == [False, True, False]
    assert {type(outcome.error) for outcome in outcomes} == {DuplicateTileError, type(None)}
    assert [event.kind for event in recorder.events] == [EventKind.WRITE_FAILED] * 3
    assert small.committed() == {new[0].tile_id}
    assert store.read_tile_bytes(row.tile_id) == TILES[2][1]
    assert store.read_tile_bytes(new[0].tile_id) == new[1]


def test_the_same_bytes_as_the_base_s_under_another_date_are_refused_with_a_way_that_helps(
    tmp_path: Path,
) -> None:
    store, small, recorder = layered(tmp_path, TILES[:5])
    sealed, pixels = TILES[2]
    facts = attrs.evolve(metadata_of(sealed), captured_at=CAPTURED_AT - timedelta(days=9))
    refusals = [outcome.error for outcome in store.write_tiles([(pixels, facts)])]
    with pytest.raises(CaptureTimeConflictError) as caught:
        store.write_tile(pixels, facts)
    for error in (caught.value, *refusals):
        assert isinstance(error, CaptureTimeConflictError)
        assert "is already in the sealed base with the same bytes" in str(error)
        assert (
            error.remedy == "correct the date, or seal a new generation from a store that has the right one"
        )
    assert [event.kind for event in recorder.events] == [EventKind.WRITE_FAILED] * 2
    with pytest.raises(DuplicateTileError) as same:
        store.write_tile(pixels, metadata_of(sealed))
    assert not isinstance(same.value, CaptureTimeConflictError)
    assert small.committed() == set()
    assert [store.is_sealed(tile_id) for tile_id in (sealed.tile_id, imported(3, 1, 1)[0].tile_id)] == [
        True,
        False,
    ]


def test_a_batch_over_a_base_may_be_a_generator(tmp_path: Path) -> None:
    store, small, _ = layered(tmp_path, TILES[:5])
    new = imported(3, 1, 1)
    outcomes = store.write_tiles((pixels, row) for row, pixels in [TILES[2], new])
    assert [outcome.tile_id for outcome in outcomes] == [TILES[2][0].tile_id, new[0].tile_id]
    assert [outcome.stored is not None for outcome in outcomes] == [False, True]
    assert small.committed() == {new[0].tile_id}


def test_a_tile_of_the_base_is_neither_deleted_nor_evicted_nor_amended_nor_replaced(tmp_path: Path) -> None:
    store, small, _ = layered(tmp_path, TILES[:5])
    sealed, twin = TILES[2], TILES[3]
    small.store.write_tile(twin[1], twin[0])
    amended_at = CAPTURED_AT - timedelta(days=9)
    for change in (
        store.delete_tile,
        store.evict_tile,
        lambda tile_id: store.amend_capture_time(tile_id, amended_at),
        lambda tile_id: store.replace_tile(*newer(tile_id)),
    ):
        for row, pixels in (sealed, twin):
            with pytest.raises(SealedTileError, match=str(row.tile_id)):
                change(row.tile_id)
            assert store.read_tile_bytes(row.tile_id) == pixels
            assert store.captured_us(row.tile_id) == microseconds_of(row.captured_at)
    assert small.committed() == {twin[0].tile_id}
    assert small.store.captured_us(twin[0].tile_id) == microseconds_of(CAPTURED_AT)
    new = imported(3, 1, 1)
    store.write_tile(new[1], new[0])
    assert store.amend_capture_time(new[0].tile_id, amended_at).captured_at_before == CAPTURED_AT
    assert store.captured_us(new[0].tile_id) == microseconds_of(amended_at)
    replaced = store.replace_tile(*newer(new[0].tile_id))
    assert store.read_tile_bytes(new[0].tile_id) == newer(new[0].tile_id)[0]
    assert store.delete_tile(new[0].tile_id) == replaced.stored.disk_bytes
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(new[0].tile_id)


def test_the_base_wins_over_a_twin_that_the_store_holds(tmp_path: Path) -> None:
    store, small, _ = layered(tmp_path, TILES[:5])
    twin, pixels = tile(TILES[2][0].tile_id, pixels_of(99))
    small.store.write_tile(pixels, twin)
    assert store.read_tile_bytes(twin.tile_id) == TILES[2][1]
    with store.read_tile_pixels(twin.tile_id) as handle:
        assert bytes(memoryview(handle)) == TILES[2][1]
    (entry,) = [e for e in store.query_by_bbox(twin.tile_id.bbox, 12) if e.tile_id == twin.tile_id]
    assert entry.content_sha256 == TILES[2][0].content_sha256
    with pytest.raises(SealedTileError):
        store.delete_tile(twin.tile_id)


def test_other_variants_of_a_place_lie_beside_the_one_of_the_base(tmp_path: Path) -> None:
    store, _, _ = layered(tmp_path, TILES[:5])
    place = TILES[2][0].tile_id
    other = TileId(place.zoom_level, place.x, place.y, TileSource.SATELLITE_PROVIDER)
    row, pixels = tile(other, pixels_of(98))
    store.write_tile(pixels, row)
    assert store.read_tile_bytes(other) == pixels
    assert store.read_tile_bytes(place) == TILES[2][1]
    assert {other, place} <= set(store.query_by_bbox(place.bbox, 12).tile_ids())


def test_a_clock_that_the_base_disproves_is_not_trusted_by_the_store_behind_it(
    migrated_database: str, tmp_path: Path
) -> None:
    """An empty store proves no time; its clock would make every tile of the base fresh."""
    sealed = seal(tmp_path / "base", TILES[:2])
    BaseGenerations(tmp_path / "base").switch_to(sealed.name, NOBODY, require_signature=False)
    runtime = Runtime(
        AerotileConfig(
            root=tmp_path,
            database=DatabaseConfig(dsn=Secret(migrated_database)),
            base=BaseConfig(layered=True, require_signature=False),
        )
    )
    with runtime:
        runtime.clock = clock = ManualClock(CAPTURED_AT - timedelta(days=100))  # type: ignore[assignment]
        verdict = runtime.store_in_use.verdict(TILES[0][0].tile_id)
        assert verdict is not None
        by_the_store, by_status = runtime.store_in_use.clock_fault, runtime.clock_fault(clock.now())
        for fault in (verdict.clock_fault, by_the_store, by_status):
            assert fault is not None
            assert fault.reason is ClockFaultReason.BEHIND
