"""What the map page shows, as ports: the composition root supplies it from a store, a base, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from ...domain.flight_events import RecordEnvelope
from ...domain.policies.clock_trust import ClockFault
from ...domain.policies.freshness import FreshnessGrounds, FreshnessVerdict
from ...domain.ports.tile_store import ReadableTiles
from ...domain.readiness.flight_plan import FlightPlan
from ...domain.readiness.report import Readiness
from ...domain.values.datasets import Dataset
from ...domain.values.health import Degradation, DegradedState
from ...domain.values.inventory import Places
from ...domain.values.tiles import TileId
from ..readiness_facts import FilesRead

TOLD_STATES = (
    DegradedState.DATABASE_GONE,
    DegradedState.CLOCK_UNTRUSTED,
    DegradedState.BASE_UNSIGNED,
    DegradedState.DISK_SLOW,
    DegradedState.RECALL_REFUSED,
)
"""The states that a process can be in that only reads; a flight stack knows further ones."""


class EventsOfARecord(Protocol):
    """The newest events of a flight record, oldest first."""

    @property
    def events(self) -> Sequence[RecordEnvelope]: ...

    @property
    def is_complete(self) -> bool: ...

    @property
    def damaged_lines(self) -> int: ...


class ReadsRecord(Protocol):
    """The newest `limit` events of the record between two times, both included."""

    def __call__(self, since: datetime | None, until: datetime | None, limit: int) -> EventsOfARecord: ...


class ArchiveOfABase(Protocol):
    """The PMTiles archive of the base that is served."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def digest(self) -> str: ...

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end`, which is excluded. Raises `BaseUnavailableError`."""


@attrs.frozen(kw_only=True)
class Layer:
    """One of the layers that tiles come from, as it is now."""

    name: str
    """`store` or `base`."""
    tiles: int
    generation: str | None = None
    """Of a base: the generation that is served."""
    generations: tuple[str, ...] = ()
    """Of a base: all that its folder holds."""
    in_use: str | None = None
    """Of a base: the generation in use, which a switch changes while another one is served."""
    is_trusted: bool | None = None
    """Of a base: whether enough pinned keys signed it."""


@attrs.frozen(kw_only=True)
class AskedFlight:
    """A flight as a browser asks about it: its files, and texts as `aerotile ready` takes them."""

    files: tuple[tuple[str, bytes], ...]
    """Name and content of the route file, then of those of diversions."""
    corridor: str
    zooms: str
    take_off: datetime | None
    speed: str | None


@attrs.frozen
class PlannedFlight:
    """The flight, and what of its file is no part of it."""

    plan: FlightPlan
    files: FilesRead


@attrs.frozen(kw_only=True)
class MapSupply:
    """Everything that the page reads. Each call may wait for a disk or a database."""

    tiles: ReadableTiles
    places: Callable[[], Places]
    """Where tiles lie, sorted, each place once."""
    judge: Callable[[TileId, int, datetime], FreshnessVerdict]
    """The verdict on a tile by its capture time (microseconds since 1970) as of any time."""
    now: Callable[[], tuple[datetime, ClockFault | None]]
    """The time for ages, and why the clock is not trusted; None: it is."""
    grounds: tuple[FreshnessGrounds, ...]
    layers: Callable[[], Sequence[Layer]]
    datasets: Callable[[], Sequence[Dataset]]
    """Those of the base's tiles, and those of the store, as known last while its database is away."""
    record: ReadsRecord
    plan: Callable[[AskedFlight], PlannedFlight]
    """Raises `ValueError` in one line for a file that is no route and for numbers that are no flight."""
    check_readiness: Callable[[FlightPlan], Readiness]
    """Go or no-go, by everything as it is now."""
    health: Callable[[], Sequence[Degradation]]
    archive: ArchiveOfABase | None = None
    explained_by_base: bool = False
    """Whether verdicts are those of the base alone, because there is no store."""
    attributions: tuple[str, ...] = ()
    """Whom the imagery is owed to beside what its datasets say."""

    def all_attributions(self) -> list[str]:
        """Everybody whom the imagery is owed to, each once."""
        of_datasets = (dataset.attribution for dataset in self.datasets())
        return list(dict.fromkeys([*self.attributions, *of_datasets]))
