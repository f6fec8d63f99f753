"""The benchmarks' figures and verdicts: percentiles that were seen, and no missed target that passes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from harness.report import any_missed, cores_text, markdown, plain, rows
from harness.results import PathResult, RunResults, SubjectResult
from harness.statistics import Summary, paired_ratio, percentile
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.texts import time_text
from harness.threads import lock_takings
from harness.verdicts import Outcome, judge
from targets import TARGETS, Target, at_least, at_most, target


def result(**seconds: list[list[float]]) -> PathResult:
    """Subjects by name with the samples of their blocks; "ours" and "floor" are that, others are peers."""
    roles = {"ours": Role.OURS, "floor": Role.FLOOR}
    made = PathResult(id="row")
    for name, blocks in seconds.items():
        made.subjects[name] = SubjectResult(
            name=name, role=roles.get(name, Role.PEER), blocks=[np.array(block) for block in blocks]
        )
    return made


def facts_of(made: PathResult, **facts: float) -> PathResult:
    made.subjects["ours"].facts = facts
    return made


def test_percentiles_are_samples_that_were_seen() -> None:
    samples = np.arange(1.0, 201.0)
    assert [percentile(samples, p) for p in (0, 50, 99, 99.9, 100)] == [1, 100, 198, 200, 200]
    assert percentile(np.array([3.0]), 99) == 3


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile(np.array([]), 50)


def test_a_summary_does_not_depend_on_the_order_of_samples() -> None:
    shuffled = Summary.of([np.array([5.0, 1.0, 3.0]), np.array([2.0, 4.0])])
    assert (shuffled.count, shuffled.p50, shuffled.p99, shuffled.least, shuffled.most) == (5, 3, 5, 1, 5)
    assert shuffled.block_medians == (3, 2)


def test_a_noisy_minute_moves_no_paired_ratio() -> None:
    quiet = result(ours=[[2.0], [2.0], [2.0]], floor=[[1.0], [1.0], [1.0]])
    noisy = result(ours=[[2.0], [20.0], [2.0]], floor=[[1.0], [10.0], [1.0]])
    for made in (quiet, noisy):
        assert made.ours is not None
        assert made.floor is not None
        assert paired_ratio(made.ours.summary, made.floor.summary) == 2  # type: ignore[arg-type] # it has samples


def test_a_subject_with_fewer_blocks_is_compared_by_the_turns_that_it_took_part_in() -> None:
    one, two = Summary.of([np.array([4.0])]), Summary.of([np.array([2.0]), np.array([1.0]), np.array([1.0])])
    assert (paired_ratio(one, two), paired_ratio(two, one)) == (2, 0.5)


def test_a_target_is_met_when_every_part_of_it_is() -> None:
    wanted = Target(
        id="row", what="", p99_s=3, ratio=at_most(2), behind=("*",), facts={"recall": at_least(0.9)}
    )
    made = facts_of(result(ours=[[2.0]], floor=[[1.0]], peer=[[2.5]]), recall=0.9)
    assert judge(made, wanted).outcome is Outcome.MET


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Target(id="row", what="", p99_s=1.5), "p99"),
        (Target(id="row", what="", ratio=at_most(1.9)), "ratio 2.00"),
        (Target(id="row", what="", ratio=at_least(0.6)), "ratio 0.50"),
        (Target(id="row", what="", behind=("*",)), "peer is ahead"),
        (Target(id="row", what="", behind=("pe",)), "peer is ahead"),
        (Target(id="row", what="", facts={"recall": at_least(0.95)}), "recall 0.9"),
        (Target(id="row", what="", facts={"bytes": at_most(1)}), "bytes was not measured"),
    ],
)
def test_each_part_of_a_target_can_be_missed(wanted: Target, reason: str) -> None:
    made = facts_of(result(ours=[[2.0]], floor=[[1.0]], peer=[[1.0]]), recall=0.9)
    verdict = judge(made, wanted)
    assert verdict.outcome is Outcome.MISSED
    assert reason in verdict.reasons[0]


def test_a_peer_that_need_not_be_behind_may_be_ahead() -> None:
    made = result(ours=[[2.0]], other=[[1.0]])
    assert judge(made, Target(id="row", what="", behind=("peer",))).outcome is Outcome.MET


def test_a_ratio_without_a_floor_is_missed() -> None:
    made = result(ours=[[1.0]])
    assert judge(made, Target(id="row", what="", ratio=at_most(2))).outcome is Outcome.MISSED


def test_tolerance_widens_times_and_ratios_but_no_facts() -> None:
    made = facts_of(result(ours=[[2.0]], floor=[[1.0]], peer=[[1.5]]), recall=0.9)
    wide = Target(id="row", what="", p99_s=1.5, ratio=at_most(1.2), behind=("*",))
    assert judge(made, wide).outcome is Outcome.MISSED
    assert judge(made, wide, tolerance=2).outcome is Outcome.MET
    fact = Target(id="row", what="", facts={"recall": at_least(0.95)})
    assert judge(made, fact, tolerance=2).outcome is Outcome.MISSED


def test_ratios_that_depend_on_the_number_of_cores_are_named() -> None:
    table = rows(RunResults(), tolerance=1)
    assert "cores, 2 here: P-4 (both have up to four threads" in cores_text(table, 2)
    assert cores_text([row for row in table if row.target.id == "P-1"], 2) == ""


def test_what_has_no_figures_is_neither_met_nor_missed() -> None:
    verdict = judge(PathResult(id="row"), Target(id="row", what="", p99_s=1))
    assert verdict.outcome is Outcome.NOT_RUN


def test_a_subject_that_failed_keeps_no_figures() -> None:
    made = result(ours=[[1.0]])
    made.subjects["ours"].fail(ValueError("broken\nin two lines"))
    verdict = judge(made, Target(id="row", what="", p99_s=9))
    assert verdict.outcome is Outcome.NOT_RUN
    assert verdict.reasons == ("failed: ValueError: broken",)


def test_every_target_of_the_specification_is_held() -> None:
    measured = range(1, 23)
    assert {wanted.id.partition(" ")[0] for wanted in TARGETS} == {f"P-{number}" for number in measured}
    assert len({wanted.id for wanted in TARGETS}) == len(TARGETS)


@pytest.mark.parametrize(
    ("row", "p99_s", "ratio"),
    [
        ("P-1", 5e-6, at_most(2)),
        ("P-2 kept", 100e-6, at_most(1.2)),
        ("P-2 bytes", 100e-6, at_most(1.15)),
        ("P-3", 20e-3, at_most(1.25)),
        ("P-4", None, at_least(0.8)),
        ("P-5", 200e-6, at_most(3)),
        ("P-6", 50e-6, at_most(2)),
        ("P-6 clear", 50e-6, at_most(1.3)),
        ("P-6 crossed", 5e-6, None),
        ("P-7", 5e-3, at_most(1.1)),
        ("P-8", 2.0, at_most(1.3)),
        ("P-9", 10e-3, at_most(1.15)),
        ("P-10", 50e-6, None),
        ("P-11", 2e-6, None),
        ("P-12", 50e-3, None),
        ("P-13", 10.0, at_most(2)),
        ("P-14", None, at_least(0.9)),
        ("P-15 1k", 1e-3, at_most(1.25)),
        ("P-15 20k", 5e-3, at_most(1.25)),
        ("P-16", 5e-6, at_most(1.25)),
        ("P-17", 1.0, None),
        ("P-18", 20e-3, None),
        ("P-19", None, at_least(0.8)),
        ("P-20", None, at_least(0.8)),
        ("P-21", None, at_least(1.7)),
        ("P-22", 2.0, at_most(2)),
    ],
)
def test_limits_are_those_of_the_specification(row: str, p99_s: float | None, ratio: object) -> None:
    assert target(row).p99_s == pytest.approx(p99_s)
    assert target(row).ratio == ratio


def test_a_missed_target_is_seen_in_the_table_and_in_the_exit() -> None:
    run = RunResults(paths={"P-12": result(ours=[[0.2]], peer=[])})
    run.paths["P-12"].subjects["peer"].unavailable = "not installed: peer"
    table = rows(run, tolerance=1)
    assert any_missed(table)
    for text in (plain(table, 1), markdown(table)):
        assert "MISSED: p99" in text
        assert "peer: not installed: peer" in text
        assert all(wanted.id in text for wanted in TARGETS)
    assert not any_missed(rows(run, tolerance=10))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 us"),
        (1.234e-7, "0.123 us"),
        (1.234e-5, "12.3 us"),
        (0.5, "500 ms"),
        (12.0, "12.0 s"),
        (1200, "1200 s"),
    ],
)
def test_times_have_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    assert time_text(seconds) == text


def subject(name: str, role: Role) -> Subject:
    return Subject(name=name, role=role, open=lambda _: pytest.fail("nobody opens it"))


def test_a_path_has_one_subject_of_ours_and_no_name_twice() -> None:
    effort = Effort(blocks=1, rounds=1)
    ours, floor = subject("ours", Role.OURS), subject("floor", Role.FLOOR)
    MeasuredPath(id="row", subjects=(ours, floor), full=effort, quick=effort)
    with pytest.raises(ValueError, match="exactly one"):
        MeasuredPath(id="row", subjects=(floor,), full=effort, quick=effort)
    with pytest.raises(ValueError, match="one name"):
        MeasuredPath(id="row", subjects=(ours, ours), full=effort, quick=effort)


def test_ours_and_the_floor_change_places_from_turn_to_turn() -> None:
    effort = Effort(blocks=1, rounds=1)
    subjects = (subject("ours", Role.OURS), subject("floor", Role.FLOOR), subject("peer", Role.PEER))
    path = MeasuredPath(id="row", subjects=subjects, full=effort, quick=effort)
    turns = [[one.name for one in path.turn(place)] for place in range(3)]
    assert turns == [["ours", "floor", "peer"], ["floor", "ours", "peer"], ["ours", "floor", "peer"]]
    alone = MeasuredPath(id="row", subjects=subjects[:1], full=effort, quick=effort)
    assert alone.turn(1) == alone.subjects


def test_a_slow_subject_takes_part_in_no_more_than_its_share() -> None:
    assert Effort(blocks=10, rounds=300).within(Effort(blocks=3, rounds=500)) == Effort(blocks=3, rounds=300)
    assert Effort(blocks=10, rounds=300).within(None) == Effort(blocks=10, rounds=300)


def test_the_takings_of_the_lock_are_the_slope_of_the_time_over_the_switch_interval() -> None:
    usual = sys.getswitchinterval()
    assert lock_takings(lambda: np.array([0.001 + 3 * sys.getswitchinterval()])) == pytest.approx(3)
    assert sys.getswitchinterval() == usual
