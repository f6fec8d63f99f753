"""Uploads under any sequence of troubles and crashes: nothing is lost or stored twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import attrs
from hypothesis import given
from hypothesis import strategies as st
from upload_scenario import BUDGET, SUCCESS, Scenario, containing, problem

from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.uploads.upload_pending import PendingTileUploader
from aerotile.domain.values.tiles import VotingStatus
from aerotile.domain.values.upload_reports import ProblemKind, UploadProblem

troubles = st.lists(
    st.none() | st.builds(problem, st.sampled_from(ProblemKind), st.none() | st.floats(0, 100)),
    max_size=30,
)


@given(
    count=st.integers(0, 30),
    rejected=st.sets(st.integers(0, 29), max_size=5),
    poisoned=st.none() | st.integers(0, 29),
    kind=st.sampled_from(ProblemKind),
    scripted=troubles,
    stores_first=st.booleans(),
    size=st.integers(1, 8),
    parallel=st.integers(1, 3),
)
def test_no_tile_is_lost_or_stored_twice_and_a_good_provider_ends_it(
    count: int,
    rejected: set[int],
    poisoned: int | None,
    kind: ProblemKind,
    scripted: list[UploadProblem | None],
    stores_first: bool,
    size: int,
    parallel: int,
) -> None:
    scenario = Scenario(count, limits=BatchLimits(max_tiles=size), parallel=parallel)
    scenario.reject(*rejected)
    scenario.provider.troubles.extend(scripted)
    scenario.provider.stores_first = stores_first
    if poisoned is not None:
        scenario.provider.refusal = containing(poisoned, kind)

    report = scenario.run()
    ours = {tile_id.tile_uuid: scenario.row(tile_id.x).content_sha256 for tile_id in scenario.ids}
    for x in range(count):
        row = scenario.row(x)
        if row.uploaded_at is not None:
            assert scenario.provider.stored[row.tile_uuid] == row.content_sha256
        assert row.upload_attempts <= BUDGET.max_per_tile_attempts
    assert set(scenario.provider.stored.items()) <= set(ours.items())
    assert len(scenario.clock.slept) == report.retries <= BUDGET.max_in_call_retries
    assert report.accepted + report.duplicates == len(scenario.uploaded)
    assert (report.outcome is SUCCESS) == (len(scenario.uploaded) == count)

    scenario.provider.troubles.clear()
    scenario.provider.refusal = lambda _: None
    scenario.bare.suspicions = attrs.evolve(scenario.bare.suspicions, group_sizes={})
    for _ in range(BUDGET.max_per_tile_attempts):
        scenario.run()
    assert scenario.pending == []
    given_up = {x for x in range(count) if scenario.row(x).voting_status is VotingStatus.UPLOAD_GIVEUP}
    assert set(scenario.uploaded) | given_up == set(range(count))
    assert set(scenario.uploaded).isdisjoint(given_up)
    assert {x for x in rejected if x < count} <= given_up
    assert len(scenario.recorder.events) == len(given_up)


class CrashError(Exception):
    """The process dies here."""


@given(count=st.integers(1, 12), crash_at=st.integers(0, 40), size=st.integers(1, 5))
def test_a_crash_between_any_two_steps_loses_nothing_and_doubles_nothing(
    count: int, crash_at: int, size: int
) -> None:
    scenario = Scenario(count, limits=BatchLimits(max_tiles=size))
    scenario.reject(2)
    steps = iter(range(10_000))

    class Dying:
        """Any part, whose calls may be the last thing that the process does, before or after their work."""

        def __init__(self, part: object) -> None:
            self._part = part

        def __getattr__(self, name: str) -> Callable[..., object]:
            method = getattr(self._part, name)

            def call(*arguments: object) -> object:
                if next(steps) == crash_at:
                    raise CrashError
                result = method(*arguments)
                if next(steps) == crash_at:
                    raise CrashError
                return result

            return call

    dying = PendingTileUploader(
        tiles=Dying(scenario.rows),  # type: ignore[arg-type] # every attribute is there at run time
        store=scenario.pixels,
        ledger=Dying(scenario.ledger),  # type: ignore[arg-type] # likewise
        link=Dying(scenario.provider),  # type: ignore[arg-type] # likewise
        clock=scenario.clock,
        limits=BatchLimits(max_tiles=size),
    )
    with suppress(CrashError):
        scenario.run(scenario.retrying(dying, BUDGET))
    for tile in (scenario.row(x) for x in scenario.uploaded):
        assert scenario.provider.stored[tile.tile_uuid] == tile.content_sha256
    for _ in range(BUDGET.max_per_tile_attempts):
        scenario.run()
    assert scenario.pending == []
    assert scenario.uploaded == [x for x in range(count) if x != 2]
    assert len(scenario.provider.stored) == len(scenario.uploaded)
