"""The figures of docs/performance.md: every row and every peer of a run is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.page import BEGIN, END, figures, with_figures
from harness.report import as_json, rows
from harness.results import GrowthPoint, PathResult, RunResults, SubjectResult
from harness.statistics import Summary
from harness.subjects import Role

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def run(seconds: float) -> dict[str, Any]:
    path = PathResult(id="P-7")
    for name, role, time in (
        ("ours", Role.OURS, seconds),
        ("bare", Role.FLOOR, 1e-3),
        ("other", Role.PEER, 4e-3),
    ):
        path.subjects[name] = SubjectResult(
            name=name,
            role=role,
            blocks=[np.array([time])],
            facts={"recall@10": 0.997},
            note=f"note of {name}",
        )
    path.subjects["absent"] = SubjectResult(
        name="absent", role=Role.PEER, unavailable="not installed: absent"
    )
    growth = GrowthPoint(
        id="P-7",
        of="descriptors",
        size=1000,
        summary=Summary.of([np.array([2e-4])]),
        facts={"recall@10": 0.98},
    )
    results = RunResults(paths={"P-7": path}, growth=[growth])
    machine = {
        "taken_at": "2026-01-01", "processor": "a processor", "usable_cores": 4, "memory_gib": 8.0,
        "system": "Linux", "kernel": "6.1", "file_system": {"type": "ext4", "device": "/dev/x"},
        "python": "3.11", "sqlite": "3.40", "versions": {"numpy": "2.1", "lmdb": "not installed"},
    }  # fmt: skip
    times = {"p50": 1e-6, "p99": 2e-6, "p99.9": 3e-6, "most": 4e-6, "per_s": 5.0}
    return {
        **as_json(rows(results, tolerance=1), results, machine),
        "mixed_load": {
            "seconds": 60.0, "readers": 4, "single": times, "mixed": times, "write_seconds": times,
        },
        "memory": {
            "store": {
                "tiles": 1000, "rss_bytes": 2e6, "anonymous_bytes": 1e6,
                "empty_rss_bytes": 1e6, "empty_anonymous_bytes": 1e6,
            },
            "index": {"descriptors": 10, "dimension": 4, "rss_bytes": 3e6, "anonymous_bytes": 0},
        },
    }  # fmt: skip


def test_every_figure_of_two_runs_and_of_one_with_growth_is_shown() -> None:
    text = figures([run(2e-3), run(3e-3)], run(4e-3))
    assert "2.00 ms · 3.00 ms" in text
    assert "2.00 · 3.00" in text  # the ratio to the floor
    assert "recall@10 0.997" in text
    assert "| P-7 | other, recall@10 0.997 | 4.00 ms | 2.00 · 1.33 | note of other |" in text
    assert "not installed: absent" in text
    assert "| P-7 | descriptors | 200 us / 200 us, recall@10 0.98 |" in text
    assert "one reader alone" in text
    assert "an index of 10 x 4" in text


def test_a_run_without_mixed_load_and_growth_is_shown_without() -> None:
    bare = {"machine": run(1)["machine"], "paths": [], "growth": []}
    assert "Memory" not in figures([bare], None)


def test_figures_replace_what_stood_between_the_marks_and_nothing_else() -> None:
    page = with_figures(f"before\n{BEGIN}\nold\n{END}\nafter\n", [run(1e-3)], None)
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "old" not in page
    assert with_figures(page, [run(1e-3)], None) == page


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no marks"):
        with_figures("a page", [run(1e-3)], None)


def test_the_page_of_the_documentation_has_its_marks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_figures(text, [run(1e-3)], run(1e-3)).count("| P-7 | ") == 5  # table, floor, peers, growth


def test_every_program_of_the_bench_reads_its_arguments() -> None:
    programs = {path: path.read_text() for path in (PAGE.parents[1] / "bench").glob("*.py")}
    deaf = [
        path.name
        for path, text in programs.items()
        if "__main__" in text and "ArgumentParser(" not in text  # so that --help starts no measurement
    ]
    assert deaf == []
