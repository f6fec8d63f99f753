"""The report: one table for people, one JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
from targets import TARGETS, Goal, Target

from .results import PathResult, RunResults
from .statistics import Summary, paired_ratio
from .subjects import Role
from .texts import facts_text, ratio_text, time_text
from .verdicts import Outcome, Verdict, judge

HEADER = (
    "path",
    "what",
    "p50",
    "p99",
    "floor p50",
    "ratio",
    "goal",
    "p99 target",
    "verdict",
    "peers, times ours",
)


@attrs.frozen(kw_only=True)
class Row:
    """One row of the table with its verdict."""

    target: Target
    result: PathResult
    verdict: Verdict


def rows(results: RunResults, *, tolerance: float) -> list[Row]:
    """Every target as a row, those without figures included."""
    return [
        Row(target=target, result=result, verdict=judge(result, target, tolerance=tolerance))
        for target in TARGETS
        for result in [results.paths.get(target.id, PathResult(id=target.id))]
    ]


def peers_text(result: PathResult) -> str:
    """Each peer and reference with its time as a multiple of ours."""
    ours = result.ours.summary if result.ours is not None else None
    texts = []
    for subject in (*result.of_role(Role.PEER), *result.of_role(Role.REFERENCE)):
        name = f"({subject.name})" if subject.role is Role.REFERENCE else subject.name
        facts = facts_text(subject.facts)
        if subject.summary is not None and ours is None:
            texts.append(f"{name} {time_text(subject.summary.p50)}{facts}")
        elif subject.summary is None or ours is None:
            texts.append(f"{name}: {subject.unavailable or 'not run'}")
        else:
            texts.append(f"{name} {ratio_text(paired_ratio(subject.summary, ours))}{facts}")
    return "; ".join(texts) or "-"


def cells(row: Row) -> tuple[str, ...]:
    """One row as text."""
    ours = row.result.ours.summary if row.result.ours is not None else None
    floor = row.result.floor.summary if row.result.floor is not None else None
    facts = row.result.ours.facts if row.result.ours is not None else {}
    what = row.target.what + facts_text(facts)
    if ours is not None and row.result.items > 1:
        what += f", {row.result.items / ours.p50:.0f}/s"
    verdict = row.verdict.outcome.value
    if row.verdict.reasons:
        verdict += f": {'; '.join(row.verdict.reasons)}"
    return (
        row.target.id,
        what,
        time_text(ours.p50 if ours else None),
        time_text(ours.p99 if ours else None),
        time_text(floor.p50 if floor else None),
        ratio_text(row.verdict.ratio),
        _goal(row.target),
        time_text(row.target.p99_s),
        verdict,
        peers_text(row.result),
    )


def _goal(target: Target) -> str:
    if target.ratio is None:
        return "-"
    kind = "" if target.ratio.goal is Goal.AT_MOST else " of the rate"
    return f"{target.ratio}{kind}"


def markdown(table: Iterable[Row]) -> str:
    """The table as documentation shows it."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    lines += [f"| {' | '.join(cells(row))} |" for row in table]
    return "\n".join(lines) + "\n"


def plain(table: Sequence[Row], tolerance: float) -> str:
    """The table as a terminal shows it: the figures in columns, the peers of each path below it."""
    columns = [(*HEADER[:-2], HEADER[-2]), *(cells(row)[:-1] for row in table)]
    widths = [max(len(line[place]) for line in columns) for place in range(len(columns[0]) - 1)]
    lines = []
    for place, line in enumerate(columns):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=True))
        lines.append(f"{text}  {line[-1]}")
        if place > 0:
            lines.append(f"{'':{widths[0]}}  peers: {cells(table[place - 1])[-1]}")
    if tolerance != 1:
        lines.append(f"limits of times and ratios were judged {tolerance:g} times as wide as the targets")
    return "\n".join(lines) + "\n"


def growth_text(results: RunResults) -> str:
    """One line per curve: the median and the 99th percentile at each size."""
    lines: dict[str, list[str]] = {}
    for point in results.growth:
        texts = lines.setdefault(point.id, [f"{point.id} over {point.of}:"])
        if point.summary is None:
            texts.append(f"{point.size:,}: {point.unavailable or 'not run'}")
        else:
            facts = facts_text(point.facts)
            texts.append(
                f"{point.size:,}: {time_text(point.summary.p50)} / {time_text(point.summary.p99)}{facts}"
            )
    return "".join(f"{texts[0]} {'; '.join(texts[1:])}\n" for texts in lines.values())


def cores_text(table: Iterable[Row], cores: int) -> str:
    """Which of the rows have a ratio that another number of cores changes, and why."""
    named = [f"{row.target.id} ({row.target.by_cores})" for row in table if row.target.by_cores]
    return f"ratios that depend on the number of cores, {cores} here: {'; '.join(named)}\n" if named else ""


def spent_text(results: RunResults) -> str:
    """What took the run's time: the seconds of each path, and how many of them its preparation took."""
    paths = sorted(results.paths.values(), key=lambda path: -path.prepared_s - path.measured_s)
    took = (f"{path.id} {path.prepared_s + path.measured_s:.0f} ({path.prepared_s:.0f})" for path in paths)
    return f"seconds of the run (of preparation): {', '.join(took)}\n"


def as_json(table: Sequence[Row], results: RunResults, facts: dict[str, object]) -> dict[str, Any]:
    """Everything that a program may want to know of a run."""
    return {
        "machine": facts,
        "paths": [
            {
                "id": row.target.id,
                "what": row.target.what,
                "items": row.result.items,
                "prepared_s": round(row.result.prepared_s, 1),
                "measured_s": round(row.result.measured_s, 1),
                "verdict": row.verdict.outcome.value,
                "reasons": list(row.verdict.reasons),
                "ratio_to_floor": row.verdict.ratio,
                "ratio_goal": None if row.target.ratio is None else str(row.target.ratio),
                "p99_target_s": row.target.p99_s,
                "subjects": [
                    {
                        "name": subject.name,
                        "role": subject.role.value,
                        "note": subject.note,
                        "unavailable": subject.unavailable,
                        "facts": dict(subject.facts),
                        "seconds": _summary(subject.summary),
                    }
                    for subject in row.result.subjects.values()
                ],
            }
            for row in table
        ],
        "growth": [
            {
                "id": point.id,
                "of": point.of,
                "size": point.size,
                "facts": dict(point.facts),
                "unavailable": point.unavailable,
                "seconds": _summary(point.summary),
            }
            for point in results.growth
        ],
    }


def _summary(summary: Summary | None) -> dict[str, Any] | None:
    return None if summary is None else attrs.asdict(summary)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write it, readable."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def any_missed(table: Iterable[Row]) -> bool:
    """Whether a target was missed; what could not be run is not missed."""
    return any(row.verdict.outcome is Outcome.MISSED for row in table)
