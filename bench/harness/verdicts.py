"""From figures to verdicts: what was held, what was missed, and why."""

from __future__ import annotations

from enum import Enum

import attrs
from targets import Goal, Target

from .results import PathResult, SubjectResult
from .statistics import paired_ratio
from .subjects import Role


class Outcome(str, Enum):
    """How a row ended."""

    MET = "met"
    MISSED = "MISSED"
    NOT_RUN = "not run"


@attrs.frozen(kw_only=True)
class Verdict:
    """How one row ended; `reasons` names every part of the target that was missed or could not be judged."""

    outcome: Outcome
    ratio: float | None
    reasons: tuple[str, ...] = ()


def floor_ratio(result: PathResult, target: Target) -> float | None:
    """Ours to the floor: of times, or of rates where the target asks for "at least"; None without a floor."""
    ours, floor = result.ours, result.floor
    if ours is None or floor is None or ours.summary is None or floor.summary is None:
        return None
    ratio = paired_ratio(ours.summary, floor.summary)
    return 1 / ratio if target.ratio is not None and target.ratio.goal is Goal.AT_LEAST else ratio


def judge(result: PathResult, target: Target, *, tolerance: float = 1.0) -> Verdict:
    """Hold one path's figures to its target. Limits may be missed by the factor `tolerance`."""
    ours = result.ours
    if ours is None or ours.summary is None:
        why = "no figures" if ours is None else ours.unavailable or "no figures"
        return Verdict(outcome=Outcome.NOT_RUN, ratio=None, reasons=(why,))
    ratio = floor_ratio(result, target)
    reasons = [
        *_time_reasons(ours, target, tolerance),
        *_ratio_reasons(ratio, result, target, tolerance),
        *_peer_reasons(ours, result, target, tolerance),
        *_fact_reasons(ours, target, tolerance),
    ]
    outcome = Outcome.MISSED if reasons else Outcome.MET
    return Verdict(outcome=outcome, ratio=ratio, reasons=tuple(reasons))


def _time_reasons(ours: SubjectResult, target: Target, tolerance: float) -> list[str]:
    assert ours.summary is not None
    if target.p99_s is None or ours.summary.p99 <= target.p99_s * tolerance:
        return []
    return [f"p99 {ours.summary.p99 * 1e6:.3g} us, target {target.p99_s * 1e6:g} us"]


def _ratio_reasons(ratio: float | None, result: PathResult, target: Target, tolerance: float) -> list[str]:
    if target.ratio is None:
        return []
    if ratio is None:
        why = result.floor.unavailable if result.floor is not None else "none is measured"
        return [f"no floor to compare with: {why}"]
    return [] if target.ratio.met_by(ratio, tolerance) else [f"ratio {ratio:.2f}, goal {target.ratio}"]


def _peer_reasons(ours: SubjectResult, result: PathResult, target: Target, tolerance: float) -> list[str]:
    assert ours.summary is not None
    reasons = []
    for peer in result.of_role(Role.PEER):
        wanted = any(name == "*" or peer.name.startswith(name) for name in target.behind)
        if not wanted or peer.summary is None:
            continue
        ratio = paired_ratio(peer.summary, ours.summary)
        if ratio * tolerance <= 1:
            reasons.append(f"{peer.name} is ahead ({ratio:.2f} of our time)")
    return reasons


def _fact_reasons(ours: SubjectResult, target: Target, tolerance: float) -> list[str]:
    reasons = []
    for name, bound in target.facts.items():
        value = ours.facts.get(name)
        if value is None:
            reasons.append(f"{name} was not measured")
        # What is no time is not noisy: a quick run is held to it as it is.
        elif not bound.met_by(value):
            reasons.append(f"{name} {value:.4g}, goal {bound}")
    return reasons
