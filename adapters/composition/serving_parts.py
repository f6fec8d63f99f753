"""What the map page is supplied from: a store, a sealed base, or both, none of which it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from ...domain.errors import StoreUnavailableError
from ...domain.flight_events import FlightEvent
from ...domain.lookups.recorded_index import RecordsLater
from ...domain.policies.clock_trust import ClockFault
from ...domain.policies.freshness import FreshnessGrounds, FreshnessVerdict
from ...domain.ports.tile_store import ReadableTiles
from ...domain.readiness.flight_plan import FlightPlan
from ...domain.readiness.report import Readiness
from ...domain.store.clock_guard import ClockGuard
from ...domain.store.freshness_gate import FreshnessGate, judge_stored
from ...domain.store.layered_store import LayeredTiles
from ...domain.store.read_only_store import ReadOnlyTileStore
from ...domain.values.coverage_cells import merged_places, places_of_keys
from ...domain.values.datasets import Dataset
from ...domain.values.health import Degradation, DegradedState
from ...domain.values.inventory import Places
from ...domain.values.lookups import PositionFix
from ...domain.values.tiles import TileId
from ..config.settings import AerotileConfig, BaseVerify
from .base_parts import BaseParts
from .degraded import RecentCounts, degraded_states

if TYPE_CHECKING:
    from ...ext import CompiledMappingCache
    from ..map_page.supply import Layer, MapSupply
    from ..recorder.newest import NewestEvents


class _NothingRecorded:
    """A recorder for a reader: looking at a flight's tiles is no event of the flight."""

    def record(self, event: FlightEvent) -> None:
        """See `FlightRecorder`."""

    def record_later(self, make: Callable[[], FlightEvent]) -> None:
        """See `RecordsLater`."""

    def record_fix(self, fix: PositionFix) -> None:
        """See `FlightRecorder`."""


class ServingRuntime(BaseParts):
    """Parts that read; a context manager that closes them.

    Nothing is repaired, no read is marked and nothing is recorded. With a database that is embedded, the
    server is started, and migrated where it is older than the program.
    """

    def __init__(self, config: AerotileConfig, *, base_alone: bool, attributions: Sequence[str] = ()) -> None:
        """With `base_alone` the sealed base is read and no database is opened."""
        super().__init__(config)
        self._base_alone = base_alone
        self._attributions = tuple(attributions)
        self._known_datasets: tuple[Dataset, ...] = ()
        self._recent = RecentCounts(self.clock)

    def __enter__(self) -> ServingRuntime:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    @cached_property
    def recorder(self) -> RecordsLater:
        """Records nothing."""
        return _NothingRecorded()

    @cached_property
    def mapping_cache(self) -> CompiledMappingCache:
        """Keeps nothing: a page reads copies, and an access time is the flight's."""
        from ...ext import CompiledMappingCache

        kept = CompiledMappingCache(max_count=0, max_bytes=0)
        return self._closing(kept, kept.close)

    @cached_property
    def map_supply(self) -> MapSupply:
        """What the page shows. Raises `StoreUnavailableError`, `BaseUnavailableError`."""
        from ..map_page.supply import MapSupply
        from .serving_readiness import planned

        self._now()  # builds the guard of the clock, which the threads of the page share
        self._places()  # of a large base they take a moment, which the first visitor need not wait
        archive = None
        if self._shows_base:
            from ..sealed_base.archive_bytes import ArchiveBytes

            verify = self.config.base.verify is BaseVerify.READ
            archive = ArchiveBytes(self.mapped_base, verify=verify)
        return MapSupply(
            tiles=self._tiles_read,
            places=self._places,
            judge=self._gate.verdict_on,
            now=self._now,
            grounds=self._grounds,
            layers=lambda: list(self._layers()),
            datasets=self._datasets,
            record=self._newest_events,
            plan=lambda asked: planned(asked, self.clock.now()),
            check_readiness=self._check_readiness,
            health=lambda: list(self._degraded()),
            archive=archive,
            explained_by_base=self._base_alone,
            attributions=self._attributions,
        )

    @property
    def _shows_base(self) -> bool:
        return self._base_alone or self.config.base.layered

    @cached_property
    def _tiles_read(self) -> ReadableTiles:
        if self._base_alone:
            return self.sealed_store
        if not self.config.base.layered:
            return self._reader
        return LayeredTiles(self._sealed_store(self._reader_judge), self._reader)

    @cached_property
    def _reader(self) -> ReadOnlyTileStore:
        reads = self.config.reads
        store = ReadOnlyTileStore(
            self.rows,
            self.files,
            sync=self._catalogue_sync,
            judge=self._reader_judge,
            verify_hash=reads.verify_hash,
            read_deadline_s=reads.deadline_s or None,
            recalls=self.part("recalls"),
        )
        self.tile_feed.follow(store)
        return store

    def _reader_judge(self, tile_id: TileId, captured_us: int) -> FreshnessVerdict:
        return judge_stored(self.freshness_gate, self.clock_guard, tile_id, captured_us)

    @cached_property
    def _gate(self) -> FreshnessGate:
        return self.base_gate if self._base_alone else self.freshness_gate

    @cached_property
    def _guard(self) -> ClockGuard:
        return self.base_clock_guard if self._base_alone else self.clock_guard

    @cached_property
    def _grounds(self) -> tuple[FreshnessGrounds, ...]:
        return (self.base_grounds,) if self._base_alone else self.freshness_grounds

    def _now(self) -> tuple[datetime, ClockFault | None]:
        return self._guard.look(), self._guard.doubt

    @cached_property
    def _base_places(self) -> Places:
        return places_of_keys([self.mapped_base.tile_keys()])

    def _places(self) -> Places:
        if self._base_alone:
            return self._base_places
        stored = places_of_keys([self._reader.tile_keys()])
        return merged_places([self._base_places, stored]) if self.config.base.layered else stored

    def _layers(self) -> Iterator[Layer]:
        from ..map_page.supply import Layer

        if self._shows_base:
            signed = self.mapped_base.signed
            yield Layer(
                name="base",
                tiles=signed.manifest.tiles,
                generation=signed.manifest.name,
                generations=tuple(self.base_generations.names()),
                in_use=self.base_generations.current(),
                is_trusted=signed.is_trusted,
            )
        if not self._base_alone:
            yield Layer(name="store", tiles=len(self._reader))

    def _datasets(self) -> list[Dataset]:
        found = []
        if self._shows_base:
            found += [sealed.dataset for sealed in self.mapped_base.signed.manifest.datasets]
        if not self._base_alone:
            with suppress(StoreUnavailableError):
                self._known_datasets = self.dataset_store.datasets()
            found += self._known_datasets
        return found

    def _newest_events(self, since: datetime | None, until: datetime | None, limit: int) -> NewestEvents:
        from ..recorder.newest import newest_events
        from ..recorder.reader import RecordFilter

        matching = RecordFilter(since=since, until=until)
        return newest_events(self.config.record_folder, matching, limit, self.clock)

    def _check_readiness(self, plan: FlightPlan) -> Readiness:
        from .serving_readiness import ReadinessReader

        with closing(ReadinessReader(self.config, self.recorder, lambda: self.part("database"))) as reader:
            return reader.check_readiness(plan, base_alone=self._base_alone)

    def _degraded(self) -> Iterator[Degradation]:
        gone = False
        if not self._base_alone:
            try:
                self.rows.disk_usage()
            except StoreUnavailableError as error:
                gone = True
                yield Degradation(DegradedState.DATABASE_GONE, str(error))
        opened = {**vars(self), "recorder": None}  # a page records nothing
        for each in degraded_states(opened, self._recent):
            if not (gone and each.state is DegradedState.DATABASE_GONE):
                yield each
