"""The figures of docs/performance.md, from the JSON of one run or more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .texts import facts_text, ratio_text, time_text

Run = dict[str, Any]
BEGIN, END = "<!-- figures: python bench/publish.py -->", "<!-- end of figures -->"


def with_figures(page: str, runs: Sequence[Run], growth: Run | None) -> str:
    """The page with what stands between its two marks replaced. Raises `ValueError` without marks.

    `growth` is the run whose growth curves are shown, as one of `--scale`.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no marks {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{figures(runs, growth)}\n{END}{after}"


def figures(runs: Sequence[Run], growth: Run | None) -> str:
    """Machine, table, peers, growth, mixed load and memory; where runs differ, one figure after the other."""
    parts = [
        _machine(runs),
        _table(runs),
        "### Peers\n\nTheir median, and how many times ours it is. In brackets: judged by nobody.\n",
        _peers(runs),
        "" if growth is None else _growth(growth),
        _mixed_load(runs),
        _memory(runs),
    ]
    return "\n".join(part for part in parts if part)


def _machine(runs: Sequence[Run]) -> str:
    facts = runs[0]["machine"]
    storage = facts["file_system"]
    installed = {name: version for name, version in facts["versions"].items() if version != "not installed"}
    versions = ", ".join(f"{name} {version}" for name, version in installed.items())
    taken = " and ".join(run["machine"]["taken_at"] for run in runs)
    return (
        f"Taken {taken}: {facts['processor']}, {facts['usable_cores']} cores, {facts['memory_gib']} GiB, "
        f"{facts['system']}, kernel {facts['kernel']}, {storage.get('type', 'unknown')} on "
        f"{storage.get('device', 'unknown')}, CPython {facts['python']}, SQLite {facts['sqlite']}, "
        f"{versions}.\n"
    )


def _paths(runs: Sequence[Run]) -> list[list[dict[str, Any]]]:
    """The same row of every run, for every row."""
    by_id = [{path["id"]: path for path in run["paths"]} for run in runs]
    return [[paths[row] for paths in by_id if row in paths] for row in by_id[0]]


def _subject(path: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    return next((subject for subject in path["subjects"] if wanted(subject)), None)


def _of_role(role: str) -> Callable[[dict[str, Any]], bool]:
    return lambda subject: bool(subject["role"] == role)


def _named(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda subject: bool(subject["name"] == name)


def _seconds(subject: dict[str, Any] | None, percent: str) -> float | None:
    if subject is None or subject["seconds"] is None:
        return None
    value: float = subject["seconds"]["percentiles"][percent]
    return value


def _each(texts: Sequence[str]) -> str:
    """One figure per run; one only when all are the same."""
    return texts[0] if len(set(texts)) == 1 else " · ".join(texts)


def _table(runs: Sequence[Run]) -> str:
    lines = [
        "| path | what | p50 | p99 | p99 target | floor p50 | ratio | goal | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for paths in _paths(runs):
        first = paths[0]
        ours = [_subject(path, _of_role("ours")) for path in paths]
        floors = [_subject(path, _of_role("floor")) for path in paths]
        what = first["what"] + _facts(ours)
        if first["items"] > 1:
            rates = [first["items"] / p50 for one in ours if (p50 := _seconds(one, "50"))]
            what += f", {_each([f'{rate:.0f}' for rate in rates] or ['-'])} a second"
        cells = (
            first["id"],
            what,
            _each([time_text(_seconds(one, "50")) for one in ours]),
            _each([time_text(_seconds(one, "99")) for one in ours]),
            time_text(first["p99_target_s"]),
            _each([time_text(_seconds(floor, "50")) for floor in floors]),
            _each([ratio_text(path["ratio_to_floor"]) for path in paths]),
            first["ratio_goal"] or "-",
            _each([path["verdict"] for path in paths]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _facts(subjects: Sequence[dict[str, Any] | None]) -> str:
    known = [subject["facts"] for subject in subjects if subject is not None]
    names = known[0] if known else {}
    values = {name: _each([f"{facts[name]:.4g}" for facts in known if name in facts]) for name in names}
    return "".join(f", {name} {value}" for name, value in values.items())


def _peers(runs: Sequence[Run]) -> str:
    lines = [
        "| path | beside ours | median | times ours | what it leaves out, settings |",
        "|---|---|---|---|---|",
    ]
    for paths in _paths(runs):
        for subject in paths[0]["subjects"]:
            if subject["role"] == "ours":
                continue
            name = subject["name"]
            same = [found for path in paths if (found := _subject(path, _named(name)))]
            ours = [_subject(path, _of_role("ours")) for path in paths]
            times = [_seconds(each, "50") for each in same]
            ratios = [
                time / own
                for time, one in zip(times, ours, strict=False)
                if time is not None and (own := _seconds(one, "50"))
            ]
            shown = {"floor": f"**{name}**", "reference": f"({name})"}.get(subject["role"], name)
            cells = (
                paths[0]["id"],
                shown + _facts(same),
                subject["unavailable"] or _each([time_text(time) for time in times]),
                _each([ratio_text(ratio) for ratio in ratios] or ["-"]),
                subject["note"] or "",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _growth(run: Run) -> str:
    curves: dict[str, dict[int, str]] = {}
    of: dict[str, str] = {}
    for point in run["growth"]:
        seconds = point["seconds"]
        text = point["unavailable"] or "-"
        if seconds is not None:
            times = [time_text(seconds["percentiles"][percent]) for percent in ("50", "99")]
            text = " / ".join(times) + facts_text(point["facts"])
        curves.setdefault(point["id"], {})[point["size"]] = text
        of[point["id"]] = point["of"]
    sizes = sorted({size for curve in curves.values() for size in curve})
    taken = run["machine"]["taken_at"]
    lines = [
        f"### Growth\n\nMedian / 99th percentile, taken {taken}.\n",
        f"| path | over | {' | '.join(f'{size:,}' for size in sizes)} |",
        f"|---|---|{'---|' * len(sizes)}",
    ]
    for row, curve in curves.items():
        lines.append(f"| {row} | {of[row]} | {' | '.join(curve.get(size, '') for size in sizes)} |")
    return "\n".join(lines) + "\n"


def _mixed_load(runs: Sequence[Run]) -> str:
    found = [run["mixed_load"] for run in runs if run.get("mixed_load")]
    if not found:
        return ""
    lines = [
        "### Reads beside everything else\n",
        f"{found[0]['readers']} reader threads, 1 writer and 1 thread of pure Python in one process, "
        f"{found[0]['seconds']:g} seconds, none of them ever pausing.\n",
        "| | p50 | p99 | p99.9 | most | a second |",
        "|---|---|---|---|---|---|",
    ]
    kinds = {"single": "one reader alone", "mixed": "the four readers", "write_seconds": "the writer"}
    for kind, name in kinds.items():
        times = [
            _each([time_text(facts[kind][percent]) for facts in found])
            for percent in ("p50", "p99", "p99.9", "most")
        ]
        rates = _each([f"{facts[kind]['per_s']:,.0f}" for facts in found])
        lines.append(f"| {name} | {' | '.join(times)} | {rates} |")
    return "\n".join(lines) + "\n"


def _memory(runs: Sequence[Run]) -> str:
    found = [run["memory"] for run in runs if run.get("memory")]
    if not found:
        return ""
    store, index = found[0]["store"], found[0]["index"]

    def megabytes(part: str, name: str) -> str:
        return _each([f"{facts[part][name] / 1e6:.1f}" for facts in found])

    return (
        "### Memory\n\n"
        "What opening adds to a process, in MB; anonymous memory is what no file backs.\n\n"
        "| | resident | anonymous |\n|---|---|---|\n"
        f"| a store of {store['tiles']:,} tiles, catalogue and all | {megabytes('store', 'rss_bytes')} "
        f"| {megabytes('store', 'anonymous_bytes')} |\n"
        f"| an empty store | {megabytes('store', 'empty_rss_bytes')} "
        f"| {megabytes('store', 'empty_anonymous_bytes')} |\n"
        f"| an index of {index['descriptors']:,} x {index['dimension']}, asked once "
        f"| {megabytes('index', 'rss_bytes')} | {megabytes('index', 'anonymous_bytes')} |\n"
    )
