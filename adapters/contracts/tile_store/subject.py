"""The store under test, and the tiles that the suite writes to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import attrs
import pytest

from ....domain.flight_events import EventKind
from ....domain.ports.mapping_cache import MappingCache
from ....domain.ports.tile_catalogue import TileCatalogue
from ....domain.ports.tile_files import TileFiles
from ....domain.ports.tile_rows import TileRows
from ....domain.store.catalogue_sync import CatalogueSync
from ....domain.store.delete_tile import TileDeleter
from ....domain.store.disk_budget import CacheBudgetEnforcer
from ....domain.store.recall_guard import RecallGuard
from ....domain.store.tile_store import FileBackedTileStore
from ....domain.values.inventory import FoundKind
from ....domain.values.sectors import SectorBoundary, SectorClassification
from ....domain.values.tile_grid import Bbox
from ....domain.values.tiles import TileId, TileMetadata, TileSource
from ...memory.clock import ManualClock
from ...memory.example_jpeg import example_jpeg, example_metadata
from ...memory.flight_recorder import MemoryFlightRecorder
from ...memory.mapping_cache import MemoryMappingCache
from ...memory.recall_source import MemoryRecallSource
from ...memory.store_parts import small_store_parts
from ...memory.tile_catalogue import MemoryTileCatalogue

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
CONFLICT = SectorBoundary("front", SectorClassification.ACTIVE_CONFLICT, Bbox(40.0, 30.0, 50.0, 40.0))
IN_CONFLICT = TileId.covering(45.0, 35.0, 10, TileSource.SATELLITE_PROVIDER)
IN_REAR = TileId.covering(-20.0, 25.0, 10, TileSource.SATELLITE_PROVIDER)
ONBOARD = TileId(10, 3, 4, TileSource.ONBOARD, UUID(int=7))


def jpeg(seed: int = 0, size: int = 64) -> bytes:
    return example_jpeg(seed.to_bytes(4, "big"), size)


def described(
    pixels: bytes, tile_id: TileId = IN_REAR, age: timedelta = timedelta(0), **changes: Any
) -> TileMetadata:
    metadata = example_metadata(
        tile_id, pixels, captured_at=NOW - age, ground_sample_distance=tile_id.zoom_level + 1.0
    )
    return attrs.evolve(metadata, **changes)


@attrs.define
class TileStoreSubject:
    """The store under test, with its rows and files, which tests read directly."""

    rows: TileRows
    files: TileFiles
    budgeted: bool
    empty_catalogue: Callable[[], TileCatalogue] = MemoryTileCatalogue
    clock: ManualClock = attrs.field(factory=lambda: ManualClock(NOW))
    recorder: MemoryFlightRecorder = attrs.field(factory=MemoryFlightRecorder)
    new_kept: Callable[..., MappingCache] = MemoryMappingCache
    new_kept_bounds: dict[str, int] = attrs.field(factory=dict)
    recall_source: MemoryRecallSource = attrs.field(factory=MemoryRecallSource)
    """Where the stores that are opened look for recall lists."""
    mapping_cache: MappingCache = attrs.field(init=False)
    """The mapping cache of the store that was opened last."""
    recalls: RecallGuard = attrs.field(init=False)
    """The recall guard of the store that was opened last."""

    def open(
        self,
        files: TileFiles | None = None,
        verify_hash: bool = False,
        check_process: Callable[[], None] = lambda: None,
    ) -> FileBackedTileStore:
        files = files or self.files
        self.mapping_cache = self.new_kept(**self.new_kept_bounds)
        self.recalls = RecallGuard(self.recall_source, self.recorder.record)
        sync = CatalogueSync(self.rows, files, self.empty_catalogue(), self.mapping_cache)
        enforcer = CacheBudgetEnforcer(
            TileDeleter(self.rows, files, sync).evict_tile,
            sync.catalogue,
            committed_bytes=sync.catalogue.footprint_bytes,
            budget_bytes=1 << 30,
            eviction_batch_size=8,
            recorder=self.recorder,
        )
        parts = small_store_parts(
            self.rows, files, clock=self.clock, recorder=self.recorder, sync=sync, sectors=(CONFLICT,)
        )
        parts = attrs.evolve(
            parts, headroom=enforcer if self.budgeted else parts.headroom, recalls=self.recalls
        )
        return FileBackedTileStore(parts, verify_hash=verify_hash, check_process=check_process)

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.recorder.events]

    def on_disk(self) -> dict[TileId, set[FoundKind]]:
        found: dict[TileId, set[FoundKind]] = {}
        for file in self.files.inventory():
            found.setdefault(file.tile_id, set()).add(file.kind)
        return found

    def committed(self) -> dict[TileId, str]:
        return {row.tile_id: row.content_sha256 for row in self.rows.committed()}


class OfTileStore:
    """The fixture of every part of the contract."""

    @pytest.fixture
    def subject(self) -> TileStoreSubject:
        """Rows and files under test, which the suite opens stores over. Override it."""
        raise NotImplementedError
