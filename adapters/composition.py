"""The composition root: the only place that builds concrete classes from a configuration.

Heavy modules are imported where they are needed. One process holds one `Runtime` per configuration, so that
calling a factory again costs a dictionary look-up and returns the same object; `close_runtimes` ends them,
and so does the interpreter's exit.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ..domain.errors import ConfigurationError, RuntimeNotAvailableError
from ..domain.intake.take_in_tiles import TileIntake
from ..domain.policies.clock_trust import ClockFault, find_clock_fault
from ..domain.policies.upload_batching import BatchLimits
from ..domain.policies.upload_retry import RetryBudget
from ..domain.ports.clock import Clock
from ..domain.ports.descriptor_index import DescriptorIndex
from ..domain.ports.flight_recorder import FlightRecorder
from ..domain.ports.tile_catalogue import TileCatalogue
from ..domain.ports.tile_metadata import TileMetadataStore
from ..domain.ports.uploader import TileUploader
from ..domain.store.access_times import AccessTimeBuffer
from ..domain.store.catalogue_sync import CatalogueSync
from ..domain.store.check import StoreCheck, check_store
from ..domain.store.clock_guard import ClockGuard, latest_known
from ..domain.store.delete_tile import TileDeleter
from ..domain.store.delete_tiles import delete_tiles
from ..domain.store.disk_budget import CacheBudgetEnforcer
from ..domain.store.freshness_gate import FreshnessGate
from ..domain.store.io_budget import IoBudget
from ..domain.store.tile_store import FileBackedTileStore
from ..domain.store.write_batches import IN_FLIGHT
from ..domain.uploads.pull_votes import PulledVotes, pull_votes
from ..domain.uploads.requeue import RequeuedTile, given_up_tiles, requeue
from ..domain.uploads.retrying_uploader import RetryingTileUploader
from ..domain.values.tiles import TileId
from .background import BackgroundTask
from .clocks import SystemClock
from .config.settings import AerotileConfig
from .config.upload_token import read_upload_token

if TYPE_CHECKING:
    from ..ext import CompiledMappingCache
    from .embedded_postgres.server import EmbeddedPostgres
    from .faiss.check import GenerationFinding
    from .faiss.index import FaissDescriptorIndex
    from .filesystem import FilesystemTileFiles
    from .http.client import ProviderAddress
    from .postgres.connection import Database
    from .postgres.migrate import MigrationReport
    from .postgres.sector_store import PostgresSectorStore
    from .postgres.tile_feed import TileFeed
    from .postgres.tile_rows import PostgresTileRows
    from .postgres.upload_ledger import PostgresUploadLedger

T = TypeVar("T")

REVIVE_INTERVAL_S = 1.0
"""How soon an embedded database that died is started again."""


class Runtime:
    """Everything that one configuration composes, each part built when it is first asked for."""

    def __init__(self, config: AerotileConfig, *, keep_database_running: bool = True) -> None:
        """With `keep_database_running` an embedded database that dies is started again within seconds."""
        self.config = config
        self._keep_database_running = keep_database_running
        self.clock = SystemClock()
        self._lock = threading.RLock()
        self._closers: list[Callable[[], None]] = []
        self._uploaders: dict[int, TileUploader] = {}

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the parts, the last built first. A second call does nothing."""
        with self._lock:
            while self._closers:
                self._closers.pop()()

    def part(self, name: str) -> Any:
        """A part by its attribute name, built by one thread only."""
        with self._lock:
            return getattr(self, name)

    def _closing(self, part: T, close: Callable[[], None]) -> T:
        self._closers.append(close)
        return part

    @cached_property
    def dsn(self) -> str:
        """Address of the database; starts the embedded one when none is configured."""
        configured = self.config.database.dsn
        if configured is not None:
            return configured.reveal()
        dsn = self.embedded_server.start()
        if not self._keep_database_running:
            return dsn
        reviver = BackgroundTask(
            "the embedded database", self.embedded_server.revive, interval_s=REVIVE_INTERVAL_S
        )
        return self._closing(dsn, reviver.close)

    @cached_property
    def embedded_server(self) -> EmbeddedPostgres:
        """The embedded database, not started yet; used when no DSN is configured."""
        from .embedded_postgres.server import EmbeddedPostgres

        binaries = self.config.database.embedded_binaries
        server = EmbeddedPostgres(self.config.postgres_folder, binaries=binaries)
        return self._closing(server, server.stop)

    def apply_migrations(self) -> MigrationReport:
        """Bring the database to the newest revision."""
        from .postgres.migrate import apply_migrations

        return apply_migrations(self.dsn)

    @cached_property
    def database(self) -> Database:
        """The connection pool, over a database at the newest revision."""
        from .postgres.connection import Database
        from .postgres.migrate import apply_migrations, check_revision

        settings = self.config.database
        if settings.dsn is None:
            apply_migrations(self.dsn)  # nobody else uses the embedded database
        else:
            check_revision(self.dsn)
        database = Database(
            self.dsn,
            min_size=settings.pool_min_size,
            max_size=settings.pool_max_size,
            connect_timeout_s=settings.connect_timeout_s,
            statement_timeout_s=settings.statement_timeout_s,
        )
        return self._closing(database, database.close)

    @cached_property
    def rows(self) -> PostgresTileRows:
        """The rows' half of the tile store."""
        from .postgres.tile_rows import PostgresTileRows

        return PostgresTileRows(self.database, disk_budget_bytes=self.config.budget.max_bytes)

    @cached_property
    def files(self) -> FilesystemTileFiles:
        """The files' half of the tile store."""
        from .filesystem import FilesystemTileFiles

        files = FilesystemTileFiles(
            self.config.tiles_folder, reader_threads=self.config.reads.waiting_threads
        )
        return self._closing(files, files.close)

    @cached_property
    def metadata_store(self) -> TileMetadataStore:
        """What the database knows of tiles."""
        from .postgres.tile_metadata import PostgresTileMetadataStore

        return PostgresTileMetadataStore(self.database)

    @cached_property
    def sector_store(self) -> PostgresSectorStore:
        """Sectors and freshness rules as the database has them."""
        from .postgres.sector_store import PostgresSectorStore

        return PostgresSectorStore(self.database)

    @cached_property
    def recorder(self) -> FlightRecorder:
        """The flight record."""
        from .recorder.writer import JsonLinesRecorder

        settings = self.config.record
        recorder = JsonLinesRecorder(
            self.config.record_folder,
            clock=self.clock,
            queue_size=settings.queue_size,
            segment_bytes=settings.segment_bytes,
            max_total_bytes=settings.max_total_bytes,
            sync_interval_s=settings.sync_interval_s,
        )
        return self._closing(recorder, recorder.close)

    @cached_property
    def freshness_gate(self) -> FreshnessGate:
        """The gate over the sectors and rules as they are now; later changes need a new runtime."""
        from .rtree.sector_index import RtreeSectorIndex

        sectors = self.sector_store.sectors()
        return FreshnessGate(
            sectors,
            self.sector_store.rules(),
            sector_index=RtreeSectorIndex(sectors),
            default_classification=self.config.freshness.default_classification,
            clock=self.clock,
            recorder=self.recorder,
        )

    @cached_property
    def lru_flusher(self) -> BackgroundTask:
        """Carries access times to the database."""
        # Both are built here: the flusher's thread would build them beside whoever else asks for them first.
        store, buffer = self.metadata_store, self._lru_buffer
        flusher = BackgroundTask(
            "access times",
            lambda: buffer.flush(store),
            interval_s=self.config.lru.flush_interval_s,
        )
        return self._closing(flusher, flusher.close)

    @cached_property
    def _lru_buffer(self) -> AccessTimeBuffer:
        return AccessTimeBuffer(self.mapping_cache.drain_reads, self.clock_guard.stamp, self._catalogue)

    @cached_property
    def clock_guard(self) -> ClockGuard:
        """The clock for ages and orders; says when the machine's can't be right."""
        return ClockGuard(self.clock, self._catalogue, self.recorder)

    @cached_property
    def mapping_cache(self) -> CompiledMappingCache:
        """The mappings that stay open between reads."""
        from ..ext import CompiledMappingCache

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
    def tile_feed(self) -> TileFeed:
        """Tells the store what other processes commit; it listens before the store loads its catalogue."""
        from .postgres.tile_feed import TileFeed

        feed = TileFeed(self.database)
        return self._closing(feed, feed.close)

    @cached_property
    def _catalogue(self) -> TileCatalogue:
        from ..ext import CompiledTileCatalogue

        return CompiledTileCatalogue()

    @cached_property
    def tile_store(self) -> FileBackedTileStore:
        """The tile store within its disk budget, as opened: reconciled, with its catalogue."""
        self.part("mapping_releaser")
        self.part("lru_flusher")
        rows, files, feed = self.rows, self.files, self.tile_feed
        sync = CatalogueSync(rows, files, self._catalogue, self.mapping_cache, when_unsettled=feed.wake)
        store = FileBackedTileStore(
            rows,
            files,
            sync=sync,
            gate=self.freshness_gate,
            clock=self.clock,
            recorder=self.recorder,
            headroom=self._budget_enforcer(TileDeleter(rows, files, sync)),
            verify_hash=self.config.reads.verify_hash,
            read_deadline_s=self.config.reads.deadline_s or None,
            clock_guard=self.clock_guard,
        )
        _trim_heap()  # loading the catalogue took several times the memory that stays in use
        feed.follow(store)
        return store

    def _budget_enforcer(self, deleter: TileDeleter) -> CacheBudgetEnforcer:
        return CacheBudgetEnforcer(
            deleter.evict_tile,
            self._catalogue,
            committed_bytes=self.metadata_store.total_disk_bytes,
            budget_bytes=self.config.budget.max_bytes,
            eviction_batch_size=self.config.budget.eviction_batch_size,
            recorder=self.recorder,
            before_sweep=self._lru_buffer.gather,
        )

    def clock_fault(self, now: datetime) -> ClockFault | None:
        """Why `now` can't be right, by what the database holds; None when nothing speaks against it."""
        return find_clock_fault(now, known=latest_known(*self.rows.latest_capture_and_access_us()))

    @cached_property
    def tile_intake(self) -> TileIntake:
        """Brings tiles of folders and other supplies into the tile store."""
        return TileIntake(
            store=self.tile_store,
            total_disk_bytes=self.metadata_store.total_disk_bytes,
            budget_bytes=self.config.budget.max_bytes,
            tile_size_pixels=self.config.tiles.tile_size_pixels,
            clock=self.clock,
            parallel=min(IN_FLIGHT, self.config.database.pool_max_size),
        )

    def delete_tiles(self, tile_ids: Sequence[TileId]) -> int:
        """Remove the tiles, all or none, and return the bytes freed; see `delete_tiles`."""
        return delete_tiles(tile_ids, rows=self.rows, store=self.tile_store)

    def check_store(
        self,
        check: StoreCheck,
        *,
        repairing: bool = False,
        max_bytes_per_s: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
        checkpoint: Callable[[], None] = lambda: None,
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
        )

    def check_index(self) -> list[GenerationFinding]:
        """Check every generation of the index; none when the index is left out or not built yet."""
        if os.environ.get("BUILD_FAISS_INDEX") == "0" or not self.config.index_folder.is_dir():
            return []
        from .faiss.check import check_generations

        return check_generations(self.config.index_folder)

    @cached_property
    def descriptor_index(self) -> DescriptorIndex:
        """The descriptor index. Raises `RuntimeNotAvailableError` when `BUILD_FAISS_INDEX=0`."""
        return self._faiss_index(open_existing=True)

    @cached_property
    def index_builder(self) -> FaissDescriptorIndex:
        """The descriptor index for tools that build and roll back, also over a damaged generation."""
        return self._faiss_index(open_existing=False)

    def _faiss_index(self, *, open_existing: bool) -> FaissDescriptorIndex:
        if os.environ.get("BUILD_FAISS_INDEX") == "0":
            raise RuntimeNotAvailableError(
                "the descriptor index is switched off by BUILD_FAISS_INDEX=0",
                remedy="unset BUILD_FAISS_INDEX",
            )
        from .faiss.index import FaissDescriptorIndex

        settings = self.config.index
        index = FaissDescriptorIndex(
            self.config.index_folder,
            params=settings.hnsw_params,
            storage=settings.storage,
            keep_generations=settings.keep_generations,
            warm_up=settings.warm_up,
            open_existing=open_existing,
        )
        return self._closing(index, index.close)

    @cached_property
    def upload_ledger(self) -> PostgresUploadLedger:
        """What was sent to the provider and what it said."""
        from .postgres.upload_ledger import PostgresUploadLedger

        return PostgresUploadLedger(self.database)

    @cached_property
    def provider_address(self) -> ProviderAddress:
        """Where the provider is. Raises `ConfigurationError` when the configuration does not say."""
        from .http.client import ProviderAddress

        settings = self.config.upload
        if settings.url is None:
            raise ConfigurationError(
                "upload.url is not set, so there is no provider to upload to",
                remedy="set url under [upload] in aerotile.toml, or AEROTILE_UPLOAD_URL",
            )
        return ProviderAddress(
            url=settings.url,
            token=read_upload_token(settings),
            ca_file=settings.ca_file,
            trust_env=settings.trust_env,
            connect_timeout_s=settings.connect_timeout_s,
            request_timeout_s=settings.request_timeout_s,
            max_response_bytes=settings.max_response_bytes,
        )

    def requeue_uploads(self, tile_ids: Sequence[TileId] | None = None) -> list[RequeuedTile]:
        """Give the tiles another life in the upload queue, or every tile that is given up; see `requeue`."""
        queue = self.upload_ledger
        chosen = given_up_tiles(queue) if tile_ids is None else tile_ids
        return requeue(chosen, queue=queue, clock=self.clock, recorder=self.recorder)

    def pull_votes(self) -> PulledVotes:
        """Read the provider's new verdicts and move our votes by them; see `pull_votes`."""
        from .http.votes import HttpVoteSource

        address = self.provider_address
        with HttpVoteSource(address, clock=self.clock) as source:
            return pull_votes(
                address.url,
                source=source,
                cursor=self.upload_ledger,
                votes=self.metadata_store,
                clock=self.clock,
            )

    def tile_uploader(self, clock: Clock | None = None) -> TileUploader:
        """The uploader, with its retries unless `upload.disable_retry_decorator`; one for each clock."""
        with self._lock:
            key = id(self.clock if clock is None else clock)
            if key not in self._uploaders:
                self._uploaders[key] = self._new_tile_uploader(self.clock if clock is None else clock)
            return self._uploaders[key]

    def _new_tile_uploader(self, clock: Clock) -> TileUploader:
        from .http.uploader import HttpTileUploader

        settings = self.config.upload
        bare = HttpTileUploader(
            self.provider_address,
            tiles=self.metadata_store,
            store=self.tile_store,
            ledger=self.upload_ledger,
            clock=clock,
            limits=BatchLimits(max_bytes=settings.max_batch_bytes, max_tiles=settings.max_batch_tiles),
            parallel=settings.parallel_requests,
        )
        self._closing(bare, bare.close)
        if settings.disable_retry_decorator:
            return bare
        return RetryingTileUploader(
            bare,
            attempts=self.metadata_store,
            budget=RetryBudget(
                max_in_call_retries=settings.max_in_call_retries,
                max_per_tile_attempts=settings.max_per_tile_attempts,
                backoff_base_s=settings.backoff_base_s,
                backoff_cap_s=settings.backoff_cap_s,
            ),
            clock=clock,
            recorder=self.recorder,
        )


_runtimes: dict[tuple[int, AerotileConfig], Runtime] = {}
_runtimes_lock = threading.Lock()


def runtime_of(config: AerotileConfig) -> Runtime:
    """This process's runtime for a configuration; a forked child gets one of its own."""
    with _runtimes_lock:
        return _runtimes.setdefault((os.getpid(), config), Runtime(config))


def close_runtimes() -> None:
    """Close every runtime that this process's factories opened."""
    with _runtimes_lock:
        mine = [key for key in _runtimes if key[0] == os.getpid()]
        closing = [_runtimes.pop(key) for key in mine]
    for runtime in closing:
        runtime.close()


atexit.register(close_runtimes)


def build_tile_store(config: AerotileConfig) -> FileBackedTileStore:
    """The tile store within its disk budget, opened and reconciled.

    It implements `TileStore`, `SupportsLocalReads` and `SupportsLocalWrites`.

    Raises `StoreUnavailableError`, `ConfigurationError`, `RuntimeNotAvailableError`.
    """
    store: FileBackedTileStore = runtime_of(config).part("tile_store")
    return store


def build_tile_metadata_store(config: AerotileConfig) -> TileMetadataStore:
    """What the database knows of tiles. Raises `StoreUnavailableError`, `RuntimeNotAvailableError`."""
    store: TileMetadataStore = runtime_of(config).part("metadata_store")
    return store


def build_descriptor_index(config: AerotileConfig) -> DescriptorIndex:
    """The descriptor index. Raises `IndexUnavailableError`, `RuntimeNotAvailableError`."""
    index: DescriptorIndex = runtime_of(config).part("descriptor_index")
    return index


def build_tile_uploader(config: AerotileConfig, *, clock: Clock | None = None) -> TileUploader:
    """The uploader to the satellite provider, over the tile store and its database.

    `clock` waits between retries and tells when to come back; default the machine's. Raises as
    `build_tile_store` does, and `ConfigurationError` when no provider or token is configured.
    """
    return runtime_of(config).tile_uploader(clock)


def apply_migrations(config: AerotileConfig) -> MigrationReport:
    """Bring the database to the newest revision; starts the embedded one when none is configured.

    Raises `StoreUnavailableError`, also for a database that is newer than this code.
    """
    return runtime_of(config).apply_migrations()


def _trim_heap() -> None:
    """Return freed memory to the system where the C library is glibc: milliseconds, without the GIL."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
