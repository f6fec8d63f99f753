"""Whether rings outline ground, compared with what GEOS says of the same rings."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely

from aerotile.adapters import ring_checks
from aerotile.adapters.ring_checks import check_rings
from aerotile.domain.values.tile_grid import Point


def is_refused(*rings: list[Point]) -> bool:
    try:
        check_rings(rings)
    except ValueError:
        return True
    return False


def ring_of(noise: Random, south_west: float, size: float, most: int) -> list[Point]:
    points = [
        (south_west + size * noise.random(), south_west + size * noise.random())
        for _ in range(noise.randint(3, most))
    ]
    return [*points, points[0]]


def test_rings_and_holes_are_refused_exactly_where_geos_refuses_them() -> None:
    noise = Random(11)  # always the same: GEOS judges lines that pass within `CLOSEST` otherwise
    seen = set()
    for _ in range(400):
        holes = [ring_of(noise, 30.3, 0.4, 5) for _ in range(noise.randint(0, 2))]
        rings = [ring_of(noise, 30, 1, 14), *holes]
        hull = list(shapely.MultiPoint(rings[0]).convex_hull.exterior.coords)
        for outer in (rings[0], hull):
            is_valid = shapely.Polygon(outer, rings[1:]).is_valid
            assert is_refused(outer, *rings[1:]) is not is_valid, (outer, rings[1:])
            seen.add((len(rings), is_valid))
    assert {(1, True), (1, False), (2, True), (2, False)} <= seen


@pytest.mark.parametrize("count", [100, 2000])
def test_a_ring_of_any_length_is_judged_in_blocks_of_pairs(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aerotile.adapters.ring_checks._PAIRS_AT_ONCE", 1)
    teeth = [(30 + n / count, 50 + n % 2 / 10) for n in range(count)]
    comb = [*teeth, (31.0, 51.0), (30.0, 51.0), teeth[0]]
    assert not is_refused(comb)
    assert is_refused([*comb[:-2], (30.5, 49.0), comb[-1]])


def test_a_line_and_back_again_encloses_nothing_and_is_no_crossing() -> None:
    assert not is_refused([(30, 50), (31, 50), (31, 51), (40, 51), (31, 51), (30, 51), (30, 50)])


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_comb_of_long_lines_costs_no_more_than_its_lines(
    monkeypatch: pytest.MonkeyPatch, is_turned: bool
) -> None:
    teeth = [(lon, row * 1e-3 + rise) for row in range(10_000) for lon, rise in ((1.0, 0.0), (9.0, 5e-4))]
    ring = [*teeth, (0.0, 11.0), (0.0, -1.0), (1.0, -1.0), teeth[0]]
    compared: list[int] = []
    distances = ring_checks._distances

    def counted(lines: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> Any:
        compared.append(len(lines))
        return distances(lines, others)

    monkeypatch.setattr(ring_checks, "_distances", counted)
    check_rings([[(lat, lon) if is_turned else (lon, lat) for lon, lat in ring]])
    assert len(compared) <= 4
    assert sum(compared) < 20 * len(ring)
