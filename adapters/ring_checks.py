"""Whether the rings of a polygon outline ground: none crosses another one or itself, and holes lie inside.

A place inside an even number of rings lies in no polygon. So ground that a ring goes around twice, and an
outer ring that comes again as a hole, would be left out of a sector without a word; a hole elsewhere, and one
in another hole, would be added to it. Rings may touch at points, also at their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ..domain.values.tile_grid import Point

CLOSEST = 1e-9
"""In degrees, 0.1 mm on the ground: lines that are not farther apart than that touch, and don't cross."""
_PAIRS_AT_ONCE = 1 << 20
_PROBES = 32
"""Among so many points of a hole, and half-way between them, one is sought that no line touches."""

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


def check_rings(rings: Sequence[Sequence[Point]]) -> None:
    """Raise `ValueError` where closed rings, the outer one first, cross or don't lie inside each other."""
    outlines = [np.array(ring, np.float64) for ring in rings]
    lines = np.concatenate([np.hstack([ring[:-1], ring[1:]]) for ring in outlines])
    of_ring = np.arange(len(rings)).repeat([len(ring) - 1 for ring in outlines])
    is_line = (lines[:, :2] != lines[:, 2:]).any(axis=1)
    _check_lines(lines[is_line], of_ring[is_line])
    for number, hole in enumerate(outlines[1:], 1):
        if _is_outside(hole, outlines[0]):
            raise ValueError(f"its hole {number} lies outside of the outer ring, near {_place(hole[0])}")
    lowest = np.array([ring.min(axis=0) for ring in outlines])
    highest = np.array([ring.max(axis=0) for ring in outlines])
    for number, hole in enumerate(outlines[1:], 1):
        around = ((lowest <= lowest[number]) & (highest >= highest[number])).all(axis=1)
        for other in np.flatnonzero(around).tolist():
            if other not in (0, number) and not _is_outside(hole, outlines[other]):
                raise ValueError(f"its hole {number} lies in its hole {other}, near {_place(hole[0])}")


def _check_lines(lines: _Floats, of_ring: _Ints) -> None:
    axis = min((0, 1), key=lambda axis: _overlaps(lines, axis))
    order = np.argsort(lines[:, axis::2].min(axis=1), kind="stable")
    lines, of_ring = lines[order], of_ring[order]
    for one, other in _near(lines, axis):
        first, second = lines[one], lines[other]
        sides = np.stack([*_distances(first, second), *_distances(second, first)])
        apart = np.abs(sides) > CLOSEST
        crossing = apart.all(axis=0) & (sides[0] * sides[1] < 0) & (sides[2] * sides[3] < 0)
        for found in np.flatnonzero(crossing)[:1]:
            place = _crossing(second[found], sides[:, found])
            raise ValueError(
                f"its outline crosses itself near {_place(place)}; draw it without crossings, "
                "or as several polygons"
            )
        along, length = _along(first, second)
        # A line and back again encloses nothing, and goes around nothing twice.
        again = (length > 0) | (of_ring[one] != of_ring[other])
        for found in np.flatnonzero(~apart.any(axis=0) & (along > CLOSEST) & again)[:1]:
            raise ValueError(
                f"its outline runs twice along one line, near {_place(second[found, :2])}; draw the line once"
            )


def _overlaps(lines: _Floats, axis: int) -> int:
    """How many pairs overlap along an axis, 0 for longitude, but for a number that both axes share."""
    low, high = lines[:, axis::2].min(axis=1), lines[:, axis::2].max(axis=1)
    return int(np.sort(low).searchsorted(np.sort(high), side="right").sum())


def _near(lines: _Floats, axis: int) -> Iterator[tuple[_Ints, _Ints]]:
    """Pairs of lines, ordered by their lower ends along an axis, whose boxes share a point."""
    low, high = lines[:, axis::2].min(axis=1), lines[:, axis::2].max(axis=1)
    left, right = lines[:, 1 - axis :: 2].min(axis=1), lines[:, 1 - axis :: 2].max(axis=1)
    numbers = np.arange(len(lines))
    counts = low.searchsorted(high, side="right") - numbers - 1
    behind = np.cumsum(counts)
    start = 0
    while start < len(lines):
        before = behind[start] - counts[start]
        stop = max(start + 1, int(behind.searchsorted(before + _PAIRS_AT_ONCE, side="right")))
        one = numbers[start:stop].repeat(counts[start:stop])
        begins = behind[start:stop] - counts[start:stop] - before
        other = one + 1 + np.arange(len(one)) - begins.repeat(counts[start:stop])
        near = (left[one] <= right[other]) & (left[other] <= right[one])
        yield one[near], other[near]
        start = stop


def _distances(lines: _Floats, others: _Floats) -> tuple[_Floats, _Floats]:
    """How far left of a line the two ends of the other one lie."""
    dx, dy = (lines[:, 2:] - lines[:, :2]).T
    length = np.hypot(dx, dy)
    begin, end = others[:, :2] - lines[:, :2], others[:, 2:] - lines[:, :2]
    return (dx * begin[:, 1] - dy * begin[:, 0]) / length, (dx * end[:, 1] - dy * end[:, 0]) / length


def _along(lines: _Floats, others: _Floats) -> tuple[_Floats, _Floats]:
    """How long parallel lines run beside each other, and how far one leads in the direction of the other."""
    direction = lines[:, 2:] - lines[:, :2]
    length = np.hypot(*direction.T)
    direction = direction / length[:, None]
    begin = ((others[:, :2] - lines[:, :2]) * direction).sum(axis=1)
    end = ((others[:, 2:] - lines[:, :2]) * direction).sum(axis=1)
    return np.minimum(np.maximum(begin, end), length) - np.maximum(np.minimum(begin, end), 0), end - begin


def _crossing(line: _Floats, sides: _Floats) -> _Floats:
    """Where a line crosses the one that its ends lie on both sides of."""
    place: _Floats = line[:2] + (line[2:] - line[:2]) * (sides[0] / (sides[0] - sides[1]))
    return place


def _is_outside(inner: _Floats, outer: _Floats) -> bool:
    """Whether a ring lies outside of another one that it does not cross; False where it touches all along."""
    between = (inner[:-1] + inner[1:]) / 2
    probes = np.concatenate([inner, between])
    for point in probes[:: max(1, len(probes) // _PROBES)]:
        if _clearance(point, outer) > CLOSEST:
            return not _holds(outer, point)
    return False


def _clearance(point: _Floats, ring: _Floats) -> float:
    begin, lines = ring[:-1], ring[1:] - ring[:-1]
    squares = np.maximum((lines**2).sum(axis=1), np.finfo(np.float64).tiny)
    at = (((point - begin) * lines).sum(axis=1) / squares).clip(0, 1)
    return float(np.hypot(*(begin + lines * at[:, None] - point).T).min())


def _holds(ring: _Floats, point: _Floats) -> bool:
    (x, y), (next_x, next_y) = ring[:-1].T, ring[1:].T
    spans = (y > point[1]) != (next_y > point[1])
    at = x[spans] + (point[1] - y[spans]) * (next_x[spans] - x[spans]) / (next_y[spans] - y[spans])
    return bool(np.count_nonzero(at > point[0]) % 2)


def _place(point: _Floats) -> str:
    return f"[{point[0]:.6g}, {point[1]:.6g}]"
