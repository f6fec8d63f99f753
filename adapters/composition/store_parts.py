"""The tile store of a runtime, and the use cases over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ...domain.intake.take_in_tiles import TileIntake
from ...domain.policies.clock_trust import ClockFault, find_clock_fault
from ...domain.policies.freshness import FreshnessGrounds
from ...domain.policies.jpeg import JpegWalk
from ...domain.ports.tile_catalogue import TileCatalogue
from ...domain.ports.tile_store import AmendedTile
from ...domain.ports.tile_versions import TileVersions
from ...domain.store.access_times import AccessTimeBuffer
from ...domain.store.amend_tile import amend_tiles
from ...domain.store.catalogue_sync import CatalogueSync
from ...domain.store.check import StoreCheck, check_store
from ...domain.store.clock_guard import ClockGuard, KnownTimes, latest_known
from ...domain.store.delete_tile import TileDeleter
from ...domain.store.delete_tiles import delete_tiles
from ...domain.store.disk_budget import CacheBudgetEnforcer
from ...domain.store.freshness_gate import FreshnessGate
from ...domain.store.io_budget import IoBudget
from ...domain.store.layered_store import LayeredTileStore
from ...domain.store.pin_tiles import pin_tiles
from ...domain.store.recovery import refuse_missing_tiles
from ...domain.store.tile_store import FileBackedTileStore
from ...domain.store.tile_store_parts import TileStoreParts
from ...domain.store.write_batches import IN_FLIGHT
from ...domain.values.tiles import TileId, TileMetadataPersistent
from ..background import BackgroundTask

if TYPE_CHECKING:
    from ...ext import CompiledMappingCache
    from ..filesystem import FilesystemTileFiles


from .database_parts import DatabaseParts


class StoreParts(DatabaseParts):
    """The tile store within its disk budget: gate, catalogue, mapping cache, background tasks."""

    @cached_property
    def files(self) -> FilesystemTileFiles:
        """The files' half of the tile store."""
        from ..filesystem import FilesystemTileFiles

        files = FilesystemTileFiles(
            self.config.tiles_folder, reader_threads=self.config.reads.waiting_threads
        )
        return self._closing(files, files.close)

    def refuse_missing_tiles(self) -> None:
        """Raise `StoreUnavailableError` where the rows name tiles and their folder is empty or not there."""
        if self._owner_of_tiles() is None and self.rows.disk_usage().footprint_bytes:  # else open no folder
            refuse_missing_tiles(self.rows, self.files)

    @cached_property
    def freshness_grounds(self) -> tuple[FreshnessGrounds, ...]:
        """The sectors and rules of the store, with the default of the configuration."""
        return (
            FreshnessGrounds(
                self.sector_store.sectors(),
                tuple(self.sector_store.rules()),
                self.config.freshness.default_classification,
            ),
        )

    @cached_property
    def freshness_gate(self) -> FreshnessGate:
        """The gate over the sectors and rules as they are now; later changes need a new runtime."""
        return self._gate_over(self.freshness_grounds)

    def _gate_over(self, grounds: Sequence[FreshnessGrounds]) -> FreshnessGate:
        """The gate whose verdict is the strictest one by several grounds."""
        from ..rtree.sector_index import RtreeSectorIndex

        return FreshnessGate(grounds, RtreeSectorIndex, clock=self.clock, recorder=self.recorder)

    @cached_property
    def _catalogue(self) -> TileCatalogue:
        from ...ext import CompiledTileCatalogue

        return CompiledTileCatalogue()

    @cached_property
    def clock_guard(self) -> ClockGuard:
        """The clock for ages and orders; says when the machine's can't be right."""
        return ClockGuard(self.clock, self._known_times, self.recorder)

    @cached_property
    def _known_times(self) -> KnownTimes:
        """What proves that the clock is behind."""
        return self._catalogue

    @cached_property
    def mapping_cache(self) -> CompiledMappingCache:
        """The mappings that stay open between reads."""
        from ...ext import CompiledMappingCache

        kept = CompiledMappingCache(
            max_count=self.config.reads.max_mappings,
            max_bytes=self.config.reads.max_mapped_bytes,
            flush_entries=self.config.lru.flush_entries,
            when_full=lambda: self.lru_flusher.wake(),
            when_waiting=lambda: self.mapping_releaser.wake(),
        )
        return self._closing(kept, kept.close)

    @cached_property
    def mapping_releaser(self) -> BackgroundTask:
        """Unmaps what was evicted, so that no reader has to."""
        releaser = BackgroundTask(
            "evicted mappings",
            self.mapping_cache.release,
            interval_s=self.config.reads.release_interval_s,
        )
        return self._closing(releaser, releaser.close)

    @cached_property
    def _lru_buffer(self) -> AccessTimeBuffer:
        return AccessTimeBuffer(self.mapping_cache.drain_reads, self.clock_guard.stamp, self._catalogue)

    @cached_property
    def lru_flusher(self) -> BackgroundTask:
        """Carries access times to the database."""
        # Both are built here: the flusher's thread would build them beside the first caller of them.
        store, buffer = self.metadata_store, self._lru_buffer
        flusher = BackgroundTask(
            "access times",
            lambda: buffer.flush(store),
            interval_s=self.config.lru.flush_interval_s,
        )
        return self._closing(flusher, flusher.close)

    @cached_property
    def tile_store(self) -> FileBackedTileStore:
        """The tile store within its disk budget, as opened: reconciled, with its catalogue."""
        self.part("mapping_releaser")
        self.part("lru_flusher")
        parts = TileStoreParts(
            rows=self.rows,
            files=self.files,
            sync=self._catalogue_sync,
            gate=self.freshness_gate,
            clock=self.clock,
            recorder=self.recorder,
            headroom=self.budget_enforcer,
            clock_guard=self.clock_guard,
            recalls=self.part("recalls"),
        )
        store = FileBackedTileStore(
            parts,
            verify_hash=self.config.reads.verify_hash,
            read_deadline_s=self.config.reads.deadline_s or None,
            check_process=self.process.check,
        )
        _trim_heap()  # loading the catalogue took several times the memory that stays in use
        self.tile_feed.follow(store)
        return store

    @cached_property
    def _catalogue_sync(self) -> CatalogueSync:
        return CatalogueSync(
            self.rows,
            self.files,
            self._catalogue,
            self.mapping_cache,
            when_unsettled=self.tile_feed.wake,
        )

    @cached_property
    def store_in_use(self) -> FileBackedTileStore | LayeredTileStore:
        """The store that a flight reads and writes."""
        return self.tile_store

    @cached_property
    def budget_enforcer(self) -> CacheBudgetEnforcer:
        """What keeps the tiles within the budget."""
        budget = self.tiles_budget
        return CacheBudgetEnforcer(
            TileDeleter(self.rows, self.files, self._catalogue_sync).evict_tile,
            self._catalogue,
            committed_bytes=lambda: self.rows.disk_usage().footprint_bytes,
            budget_bytes=budget.max_bytes,
            committed_onboard_bytes=lambda: self.rows.disk_usage().onboard_footprint_bytes,
            onboard_budget_bytes=budget.onboard_bytes,
            eviction_batch_size=budget.eviction_batch_size,
            recorder=self.recorder,
            before_sweep=self._lru_buffer.gather,
        )

    def clock_fault(self, now: datetime) -> ClockFault | None:
        """Why `now` can't be right, by what is stored; None when nothing speaks against it."""
        return find_clock_fault(now, known=self._latest_known())

    def _latest_known(self) -> datetime:
        """The latest time that the database proves."""
        return latest_known(*self.rows.latest_capture_and_access_us())

    @cached_property
    def tile_intake(self) -> TileIntake:
        """Brings tiles of folders and other supplies into the tile store."""
        from ...ext import walk_jpeg
        from ..simplejpeg.picture_decoder import SimplejpegDecoder

        return TileIntake(
            store=self.store_in_use,
            footprint_bytes=lambda: self.rows.disk_usage().footprint_bytes,
            budget_bytes=self.tiles_budget.max_bytes,
            tile_size_pixels=self.config.tiles.tile_size_pixels,
            clock=self.clock,
            datasets=self.dataset_store,
            walk_jpeg=lambda pixels: JpegWalk.of(walk_jpeg(pixels)),
            decoder=SimplejpegDecoder(),
            decoding_threads=len(os.sched_getaffinity(0)),
            tally_evictions=self.budget_enforcer.tally_evictions,
            parallel=min(IN_FLIGHT, self.config.database.pool_max_size),
        )

    @cached_property
    def tile_versions(self) -> TileVersions:
        """Which versions of servers' tiles the stored tiles came from."""
        from ..fetched_versions import FetchedVersions

        return FetchedVersions(self.config.root)

    def pin_tiles(self, tile_ids: Sequence[TileId], *, pinned: bool) -> list[TileId]:
        """Pin the tiles or lift their pins, all or none; see `pin_tiles`. Opens no store."""
        return pin_tiles(tile_ids, pinned=pinned, rows=self.rows, pins=self.metadata_store)

    def amend_tiles(self, tile_ids: Sequence[TileId], captured_at: datetime) -> list[AmendedTile]:
        """Put the capture date of the tiles right; see `amend_tiles`."""
        return amend_tiles(tile_ids, captured_at, rows=self.rows, store=self.store_in_use)

    def delete_tiles(self, tile_ids: Sequence[TileId]) -> int:
        """Remove the tiles, all or none, and return the bytes freed; see `delete_tiles`."""
        return delete_tiles(tile_ids, rows=self.rows, store=self.store_in_use)

    def check_store(
        self,
        check: StoreCheck,
        *,
        repairing: bool = False,
        max_bytes_per_s: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
        checkpoint: Callable[[], None] = lambda: None,
        checked: Callable[[TileMetadataPersistent, bool], None] = lambda row, whole: None,
    ) -> None:
        """Check every tile, reading at most so many bytes a second; see `check_store`. Opens no store."""
        check_store(
            check,
            self.rows,
            self.files,
            self.recorder,
            repairing=repairing,
            pace=None if max_bytes_per_s is None else IoBudget(max_bytes_per_s, self.clock).spend,
            progress=progress,
            checkpoint=checkpoint,
            checked=checked,
        )


def _trim_heap() -> None:
    """Return freed memory to the system where the C library is glibc: milliseconds, without the GIL."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
