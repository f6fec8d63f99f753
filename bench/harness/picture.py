"""The picture of a run: how the times are distributed on each path, and how they grow. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .report import Row
from .results import GrowthPoint, RunResults
from .subjects import Role

_COLUMNS = 4
_CELL_INCHES = (5.0, 3.6)
_STYLES = {
    Role.OURS: {"color": "#c2185b", "linewidth": 2.2, "zorder": 4},
    Role.FLOOR: {"color": "black", "linewidth": 1.8, "zorder": 3},
    Role.PEER: {"linewidth": 1.0, "zorder": 2},
    Role.REFERENCE: {"linewidth": 0.9, "linestyle": ":", "zorder": 1},
}
_LEAST_SAMPLES = 5
"""Fewer are no distribution."""


def draw(path: Path, table: Iterable[Row], results: RunResults, caption: str) -> None:
    """Write the picture as PNG. Raises `ImportError` without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = [row for row in table if any(subject.blocks for subject in row.result.subjects.values())]
    drawn = [
        row for row in drawn if any(_count(s.blocks) >= _LEAST_SAMPLES for s in row.result.subjects.values())
    ]
    grown = _by_curve(results.growth)
    cells = len(drawn) + len(grown)
    lines = max(1, -(-cells // _COLUMNS))
    figure = Figure(figsize=(_CELL_INCHES[0] * _COLUMNS, _CELL_INCHES[1] * lines + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(caption)
    grid = figure.subplots(lines, _COLUMNS, squeeze=False)
    axes = iter(grid.ravel())
    for row in drawn:
        _draw_distribution(next(axes), row)
    for points in grown:
        _draw_growth(next(axes), points)
    for unused in axes:
        unused.set_visible(False)
    figure.savefig(path, dpi=90)


def _count(blocks: list[Any]) -> int:
    return sum(len(block) for block in blocks)


def _draw_distribution(axes: Any, row: Row) -> None:
    """Which share of the calls took at most how long; ours thick, the floor black."""
    for subject in row.result.subjects.values():
        if _count(subject.blocks) < _LEAST_SAMPLES:
            continue
        samples = np.sort(np.concatenate(subject.blocks)) * 1e6
        share = np.arange(1, len(samples) + 1) / len(samples)
        axes.plot(samples, share, label=subject.name, **_STYLES[subject.role])
    if row.target.p99_s is not None:
        axes.axvline(row.target.p99_s * 1e6, color="grey", linewidth=0.8, linestyle="--")
    axes.axhline(0.99, color="grey", linewidth=0.4)
    axes.set_xscale("log")
    axes.set_title(f"{row.target.id}: {row.target.what[:48]}", fontsize=9)
    axes.set_xlabel("microseconds; dashed: p99 target", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=5.5, loc="best")


def _by_curve(points: Iterable[GrowthPoint]) -> list[list[GrowthPoint]]:
    curves: dict[str, list[GrowthPoint]] = {}
    for point in points:
        if point.summary is not None:
            curves.setdefault(point.id, []).append(point)
    return list(curves.values())


def _draw_growth(axes: Any, points: list[GrowthPoint]) -> None:
    """Median and 99th percentile over the size."""
    from matplotlib.ticker import NullFormatter

    sizes = [point.size for point in points]
    for name, label, width in (("50", "p50", 2.2), ("99", "p99", 1.0)):
        times = [point.summary.percentiles[name] * 1e6 for point in points if point.summary is not None]
        axes.plot(
            sizes, times, marker="o", color="#c2185b", linewidth=width, alpha=0.6 + 0.4 * (name == "50")
        )
        axes.annotate(label, (sizes[-1], times[-1]), fontsize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    most = max(point.summary.p99 for point in points if point.summary is not None) * 1e6
    axes.set_ylim(0.1, max(10.0, 3 * most))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"{points[0].id} over the number of {points[0].of}", fontsize=9)
    axes.set_xlabel(points[0].of, fontsize=7)
    axes.set_ylabel("microseconds", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
