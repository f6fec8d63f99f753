"""How old a tile may be where it lies: the rule, and the gate that applies it.

The age is `now - captured_at`. Several sectors may lie over one tile; the strictest verdict wins. What an
aircraft flies over ages on while it is stored, so whatever is read later is judged anew, as of then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import IntEnum

import attrs

from .clock_doubt import TOLERANCE, ClockDoubt, doubt_about
from .errors import CaptureTimeInFutureError, ConfigurationError, FreshnessRejectionError
from .moments import microseconds_of, moment_of
from .ports import Clock, FlightRecorder, SectorIndex, SupportsJudging
from .records import freshness_downgraded_event, freshness_rejected_event
from .sectors import FreshnessRule, SectorBoundary, SectorClassification
from .tiles import FreshnessLabel, TileId, TileMetadata

FUTURE_TOLERANCE = TOLERANCE
"""A capture time further ahead of the clock is refused."""

Rules = Mapping[SectorClassification, FreshnessRule]


class FreshnessDecision(IntEnum):
    """What happens to the tile; a greater value is stricter."""

    ACCEPT = 0
    DOWNGRADE = 1
    REJECT = 2


@attrs.frozen
class FreshnessVerdict:
    """A decision with what it rests on."""

    decision: FreshnessDecision
    age: timedelta
    rule: FreshnessRule
    sector: SectorBoundary | None
    """The sector whose rule decided; None when the default classification did."""
    clock_doubt: ClockDoubt | None = None
    """What speaks against the clock: then the age is the least that is known, and may be more."""


TOO_OLD = {
    SectorClassification.ACTIVE_CONFLICT: FreshnessDecision.REJECT,
    SectorClassification.STABLE_REAR: FreshnessDecision.DOWNGRADE,
}
"""What exceeding the rule of a classification means."""
_STRICTNESS = {kind: -place for place, kind in enumerate(SectorClassification)}


def judge_freshness(
    captured_at: datetime,
    now: datetime,
    sectors: Iterable[SectorBoundary],
    rules: Rules,
    default_classification: SectorClassification,
) -> FreshnessVerdict:
    """The strictest verdict of the sectors over a tile, or the default classification's when there is none.

    A capture time ahead of `now` counts as of now: what is stored must stay readable when the clock is wrong.
    """
    age = max(now - captured_at, timedelta(0))

    def verdict(classification: SectorClassification, sector: SectorBoundary | None) -> FreshnessVerdict:
        rule = rules[classification]
        decision = FreshnessDecision.ACCEPT if age <= rule.max_age else TOO_OLD[classification]
        return FreshnessVerdict(decision, age, rule, sector)

    return max(
        (verdict(sector.classification, sector) for sector in sectors),
        key=lambda v: (v.decision, _STRICTNESS[v.rule.classification]),
        default=None,
    ) or verdict(default_classification, None)


def check_capture_time(captured_at: datetime, now: datetime, tile_id: TileId | None = None) -> None:
    """Raise `CaptureTimeInFutureError` for a capture time more than 5 minutes ahead of `now`."""
    if captured_at - now > FUTURE_TOLERANCE:
        raise CaptureTimeInFutureError(captured_at, now, tile_id=tile_id)


def rules_by_classification(
    rules: Iterable[FreshnessRule],
    sectors: Iterable[SectorBoundary],
    default_classification: SectorClassification,
) -> Rules:
    """The rules as a table. Raises `ConfigurationError` when a sector or the default has no rule."""
    table = {rule.classification: rule for rule in rules}
    for sector in sectors:
        if sector.classification not in table:
            raise ConfigurationError(
                f"sector {sector.sector_id} is {sector.classification.value}, which has no freshness rule",
                remedy="add the rule to tile_freshness_rules",
            )
    if default_classification not in table:
        raise ConfigurationError(
            f"the default classification {default_classification.value} has no freshness rule",
            remedy="add the rule to tile_freshness_rules, or change freshness.default_classification",
        )
    return table


@attrs.frozen
class SectorListJudge:
    """A `TileJudge` over any `SectorIndex`: looks at every sector over the tile."""

    sector_index: SectorIndex
    rules: Rules
    default_classification: SectorClassification

    def verdict_on(self, tile_id: TileId, captured_us: int, now: datetime) -> FreshnessVerdict:
        """See `TileJudge`."""
        sectors = self.sector_index.sectors_intersecting(tile_id.bbox)
        return judge_freshness(moment_of(captured_us), now, sectors, self.rules, self.default_classification)


class FreshnessGate:
    """Judges tiles by the sectors and rules it was built with. Any number of threads may ask at once."""

    verdict_on: Callable[[TileId, int, datetime], FreshnessVerdict]
    """The verdict on a stored tile captured at so many microseconds since 1970, as of a moment.

    Records nothing, and raises nothing for any time that a clock can show. It is the judge's own method: a
    call in between would cost a good part of what the judge does.
    """

    def __init__(
        self,
        sectors: Iterable[SectorBoundary],
        rules: Iterable[FreshnessRule],
        *,
        sector_index: SectorIndex,
        default_classification: SectorClassification,
        clock: Clock,
        recorder: FlightRecorder,
    ) -> None:
        """`sector_index` must have been built from the same `sectors`. Raises `ConfigurationError`."""
        self._rules = rules_by_classification(rules, sectors, default_classification)
        self._sector_index = sector_index
        self._default = default_classification
        judge = (
            sector_index.judge(self._rules, default_classification)
            if isinstance(sector_index, SupportsJudging)
            else SectorListJudge(sector_index, self._rules, default_classification)
        )
        self.verdict_on = judge.verdict_on
        self._clock = clock
        self._recorder = recorder

    def explain(self, lat: float, lon: float, captured_at: datetime) -> FreshnessVerdict:
        """What a write would meet at a place, as of now; records nothing.

        Raises `CaptureTimeInFutureError`.
        """
        now = self._clock.now()
        check_capture_time(captured_at, now)
        sectors = self._sector_index.sectors_at(lat, lon)
        verdict = judge_freshness(captured_at, now, sectors, self._rules, self._default)
        return attrs.evolve(verdict, clock_doubt=doubt_about(now))

    def admit(self, metadata: TileMetadata) -> TileMetadata:
        """The metadata to store: the same object when fresh, a copy labelled `downgraded` when not.

        Raises `FreshnessRejectionError` or `CaptureTimeInFutureError`.
        """
        tile_id, now = metadata.tile_id, self._clock.now()
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
