"""A store in memory within a disk budget, and the tiles that tests write to it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.mapping_cache import MemoryMappingCache
from aerotile.adapters.memory.store_parts import small_store_parts
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.flight_events import EventKind
from aerotile.domain.store.catalogue_sync import CatalogueSync
from aerotile.domain.store.delete_tile import TileDeleter
from aerotile.domain.store.disk_budget import CacheBudgetEnforcer
from aerotile.domain.store.tile_store import FileBackedTileStore
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.sectors import SectorClassification
from aerotile.domain.values.tile_changes import ChangeKind, TileChange
from aerotile.domain.values.tiles import (
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileSource,
    VotingStatus,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FLIGHT = UUID(int=7)


def pixels_of(size: int, seed: int = 0) -> bytes:
    return example_jpeg(seed.to_bytes(4, "big"), size)


def metadata_of(tile_id: TileId, pixels: bytes, captured_at: datetime = NOW) -> TileMetadata:
    return example_metadata(
        tile_id,
        pixels,
        captured_at=captured_at,
        voting_status=VotingStatus.PENDING if tile_id.source is TileSource.ONBOARD else None,
    )


def imported(x: int) -> TileId:
    return TileId(8, x, 0, TileSource.IMPORTED)


def onboard(x: int) -> TileId:
    return TileId(8, x, 0, TileSource.ONBOARD, FLIGHT)


@attrs.frozen
class Cache:
    """A budgeted in-memory store with everything a test looks at."""

    store: FileBackedTileStore
    enforcer: CacheBudgetEnforcer
    rows: MemoryTileRows
    clock: ManualClock
    recorder: MemoryFlightRecorder

    @classmethod
    def of(
        cls,
        budget_bytes: int,
        batch: int = 3,
        classification: SectorClassification = SectorClassification.STABLE_REAR,
        rows: MemoryTileRows | None = None,
        onboard_budget_bytes: int | None = None,
    ) -> Cache:
        clock, recorder, rows = (
            ManualClock(NOW),
            MemoryFlightRecorder(),
            MemoryTileRows() if rows is None else rows,
        )
        files = MemoryTileFiles()
        sync = CatalogueSync(rows, files, MemoryTileCatalogue(), MemoryMappingCache())
        enforcer = CacheBudgetEnforcer(
            TileDeleter(rows, files, sync).evict_tile,
            sync.catalogue,
            committed_bytes=lambda: rows.disk_usage().footprint_bytes,
            budget_bytes=budget_bytes,
            committed_onboard_bytes=lambda: rows.disk_usage().onboard_footprint_bytes,
            onboard_budget_bytes=onboard_budget_bytes,
            eviction_batch_size=batch,
            recorder=recorder,
        )
        parts = small_store_parts(
            rows, files, clock=clock, recorder=recorder, sync=sync, classification=classification
        )
        store = FileBackedTileStore(attrs.evolve(parts, headroom=enforcer))
        return cls(store, enforcer, rows, clock, recorder)

    def write(self, tile_id: TileId, size: int = 100) -> TileMetadataPersistent:
        self.clock.advance(timedelta(seconds=1))
        pixels = pixels_of(size)
        return self.store.write_tile(pixels, metadata_of(tile_id, pixels))

    def vote(self, tile_id: TileId, status: VotingStatus) -> None:
        """The provider votes, and this process hears of it."""
        self.rows.update_voting_status(tile_id, status)
        self.store.apply_changes([TileChange(ChangeKind.CHANGED, tile_id)])

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.recorder.events]


class OneByOneStore:
    """A `TileStore` that can nothing more."""

    def __init__(self, inner: FileBackedTileStore) -> None:
        self._inner = inner

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        return self._inner.read_tile_pixels(tile_id)

    def write_tile(self, pixels: bytes, metadata: TileMetadata) -> TileMetadataPersistent:
        return self._inner.write_tile(pixels, metadata)

    def tile_exists(self, tile_id: TileId) -> bool:
        return self._inner.tile_exists(tile_id)

    def delete_tile(self, tile_id: TileId) -> int:
        return self._inner.delete_tile(tile_id)
