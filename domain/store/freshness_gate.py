"""The freshness gate: the second step of a write, and the judge of stored tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import attrs

from ..errors import FreshnessRejectionError
from ..make_events import freshness_downgraded_event, freshness_rejected_event
from ..policies.clock_trust import find_clock_fault
from ..policies.freshness import (
    FreshnessDecision,
    FreshnessGrounds,
    FreshnessVerdict,
    Rules,
    check_capture_time,
    judge_freshness,
    rules_by_classification,
    strictness,
    with_shortest_ages,
)
from ..ports.clock import Clock
from ..ports.flight_recorder import FlightRecorder
from ..ports.sector_index import SectorIndex, SupportsJudging, TileJudge
from ..values.sectors import SectorBoundary, SectorClassification
from ..values.tiles import FreshnessLabel, TileId, TileMetadata
from ..values.timestamps import microseconds_of, timestamp_of
from .clock_guard import ClockGuard


def judge_stored(
    gate: FreshnessGate, clock: ClockGuard, tile_id: TileId, captured_us: int
) -> FreshnessVerdict:
    """The verdict as of now on a stored tile, with the clock's fault while the clock is not trusted."""
    verdict, fault = gate.verdict_on(tile_id, captured_us, clock.now()), clock.doubt
    return verdict if fault is None else attrs.evolve(verdict, clock_fault=fault)


@attrs.frozen
class SectorListJudge:
    """A `TileJudge` over any `SectorIndex`: judges by every sector that intersects the tile."""

    sector_index: SectorIndex
    rules: Rules
    default_classification: SectorClassification

    def verdict_on(self, tile_id: TileId, captured_us: int, now: datetime) -> FreshnessVerdict:
        sectors = self.sector_index.sectors_intersecting(tile_id.bbox)
        return judge_freshness(
            tile_id, timestamp_of(captured_us), now, sectors, self.rules, self.default_classification
        )


@attrs.frozen
class StrictestJudge:
    """A `TileJudge` whose verdict is the strictest one of several judges, the first of equals."""

    judges: tuple[TileJudge, ...]

    def verdict_on(self, tile_id: TileId, captured_us: int, now: datetime) -> FreshnessVerdict:
        return max((judge.verdict_on(tile_id, captured_us, now) for judge in self.judges), key=strictness)


def judge_by(grounds: FreshnessGrounds, sector_index: SectorIndex) -> TileJudge:
    """The judge by some grounds, of whose sectors `sector_index` was built. Raises `ConfigurationError`."""
    default = grounds.default_classification
    table = rules_by_classification(grounds.rules, grounds.sectors, default)
    if isinstance(sector_index, SupportsJudging):
        return sector_index.judge(table, default)
    return SectorListJudge(sector_index, table, default)


class FreshnessGate:
    """Judges tiles by the sectors and rules that it was built with. Safe for threads."""

    verdict_on: Callable[[TileId, int, datetime], FreshnessVerdict]
    """The verdict on a stored tile: tile id, capture time in microseconds since 1970, time of judgement.

    Records nothing, and raises nothing for any time that a clock can show. It is the judge's own method: a
    call in between would take a good part of the judge's own time.
    """

    def __init__(
        self,
        grounds: Iterable[FreshnessGrounds],
        index_of: Callable[[Sequence[SectorBoundary]], SectorIndex],
        *,
        clock: Clock,
        recorder: FlightRecorder,
    ) -> None:
        """The strictest verdict by any of the `grounds` counts; `index_of` makes an index of sectors.

        Raises `ConfigurationError`.
        """
        judges = tuple(judge_by(each, index_of(each.sectors)) for each in with_shortest_ages(grounds))
        judge = judges[0] if len(judges) == 1 else StrictestJudge(judges)
        self.verdict_on = judge.verdict_on
        self._clock = clock
        self._recorder = recorder

    def explain(self, tile_id: TileId, captured_at: datetime) -> FreshnessVerdict:
        """The verdict that a write of the tile would meet, as of now; records nothing.

        Raises `CaptureTimeInFutureError`.
        """
        now = self._clock.now()
        check_capture_time(captured_at, now)
        verdict = self.verdict_on(tile_id, microseconds_of(captured_at), now)
        return attrs.evolve(verdict, clock_fault=find_clock_fault(now))

    def admit(self, metadata: TileMetadata, now: datetime) -> TileMetadata:
        """The metadata to store: the same object when fresh, a copy labelled `downgraded` when not.

        `now` is the clock's reading for the whole write or batch. Records a rejection and a downgrade.

        Raises `FreshnessRejectionError` or `CaptureTimeInFutureError`.
        """
        tile_id = metadata.tile_id
        check_capture_time(metadata.captured_at, now, tile_id)
        verdict = self.verdict_on(tile_id, microseconds_of(metadata.captured_at), now)
        if verdict.decision is FreshnessDecision.ACCEPT:
            return metadata
        if verdict.decision is FreshnessDecision.REJECT:
            rejection = _rejection(tile_id, verdict)
            self._recorder.record(freshness_rejected_event(rejection))
            raise rejection
        self._recorder.record(freshness_downgraded_event(tile_id, verdict.age.total_seconds(), verdict.rule))
        return attrs.evolve(metadata, freshness_label=FreshnessLabel.DOWNGRADED)


def _rejection(tile_id: TileId, verdict: FreshnessVerdict) -> FreshnessRejectionError:
    return FreshnessRejectionError(
        tile_id, verdict.age.total_seconds(), verdict.rule.classification, verdict.rule
    )
