"""The compiled grid and judge: what they take, and that misuse is an exception."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest

from aerotile.domain.values.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Polygon
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import SectorGrid, SectorGridJudge, narrowed, touched_lines

CONFLICT = SectorClassification.ACTIVE_CONFLICT
REAR = SectorClassification.STABLE_REAR
RULES = {rule.classification: rule for rule in SEEDED_RULES}
NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
WORLD = TileId(0, 0, 0, TileSource.IMPORTED)
ANY_GRID: Any = SectorGrid
ANY_JUDGE: Any = SectorGridJudge
"""Without their types: wrong arguments are what is tested."""
SECTORS = (
    SectorBoundary("east", CONFLICT, Polygon([[(10.0, 10.0), (20.0, 10.0), (10.0, 20.0)]])),
    SectorBoundary("west", CONFLICT, Bbox(10.0, -20.0, 20.0, -10.0)),
)


def arrays() -> dict[str, Any]:
    """The world split once: "east", a triangle, may touch the north-east, "west", a box, the north-west."""
    return {
        "windows": touched_lines(np.array([[10.0, 10.0, 20.0, 20.0], [10.0, -20.0, 20.0, -10.0]])),
        "points": np.array([[10.0, 10.0], [20.0, 10.0], [10.0, 20.0], [10.0, 10.0]]),
        "children": np.array([1, 0, 0, 0, 0], np.int32),
        "firsts": np.array([0, 2, 2, 2, 2], np.int32),
        "starts": np.array([0, 0, 1, 2, 2, 2], np.int32),
        "candidates": np.array([1, 0], np.int32),
        "inside": np.array([0, 0], np.uint8),
        "line_starts": np.array([0, 0, 3], np.int32),
        "lines": np.array([0, 1, 2], np.int32),
    }


def judge() -> Any:
    return SectorGridJudge({CONFLICT: SectorGrid(SECTORS, **arrays())}, RULES, REAR, lambda _: False)


def test_the_first_sector_over_a_tile_is_found_from_the_world_down() -> None:
    grid = SectorGrid(SECTORS, **arrays())
    assert (len(grid), grid.sectors) == (2, SECTORS)
    assert grid.first_over(WORLD) is SECTORS[0]
    assert grid.first_over(TileId(1, 0, 0, TileSource.IMPORTED)) is SECTORS[1]
    assert grid.first_over(TileId.covering(14.0, 14.0, 18, TileSource.IMPORTED)) is SECTORS[0]
    assert grid.first_over(TileId.covering(19.0, 19.0, 18, TileSource.IMPORTED)) is None
    assert grid.first_over(TileId.covering(30.0, 15.0, 18, TileSource.IMPORTED)) is None
    assert grid.first_over(TileId(1, 0, 1, TileSource.IMPORTED)) is None


def test_whether_sectors_cover_a_tile_is_asked_only_where_none_does_alone() -> None:
    asked: list[TileId] = []
    grid = SectorGrid(SECTORS, **arrays())
    strict = SectorGridJudge({REAR: grid}, RULES, CONFLICT, lambda tile: asked.append(tile) or False)
    in_box, in_triangle = (TileId.covering(12.0, lon, 14, TileSource.IMPORTED) for lon in (-12.0, 12.0))
    for tile_id, sector in ((in_box, SECTORS[1]), (in_triangle, SECTORS[0])):
        assert strict.verdict_on(tile_id, 0, NOW).sector is sector
    assert asked == []
    on_edges = [TileId.covering(15.0, lon, 14, TileSource.IMPORTED) for lon in (-10.0, 15.0)]
    for tile_id in on_edges:
        assert strict.verdict_on(tile_id, 0, NOW).sector is None
    assert asked == on_edges


def test_a_grid_keeps_its_answers_when_the_arrays_change_afterwards() -> None:
    given = arrays()
    grid = SectorGrid(SECTORS, **given)
    for array in given.values():
        array[...] = 100
    assert grid.first_over(TileId.covering(15.0, 15.0, 18, TileSource.IMPORTED)) is SECTORS[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("windows", np.zeros((1, 4))),
        ("windows", np.zeros((2, 3))),
        ("points", np.zeros((4, 3))),
        ("points", np.zeros((3, 2))),
        ("points", np.zeros((0, 2))),
        ("inside", [0]),
        ("line_starts", [0, 0, 2]),
        ("line_starts", [0, 4, 3]),
        ("line_starts", [0, 3]),
        ("lines", [0, 1, 3]),
        ("lines", [0, -1, 2]),
        ("lines", [0, 1]),
        ("children", []),
        ("children", [2, 0, 0, 0, 0]),
        ("children", [-1, 0, 0, 0, 0]),
        ("children", [1, 1, 0, 0, 0]),
        ("firsts", [0, 2, 2, 2]),
        ("firsts", [0, 2, 3, 2, 2]),
        ("firsts", [0, 2, -1, 2, 2]),
        ("starts", [0, 0, 1, 2, 2]),
        ("starts", [0, 0, 1, 2, 2, 3]),
        ("starts", [1, 1, 1, 2, 2, 2]),
        ("starts", [0, 3, 1, 2, 2, 2]),
        ("starts", [0, -1, 1, 2, 2, 2]),
        ("candidates", [1, 2]),
        ("candidates", [1, -1]),
        ("candidates", [1]),
    ],
)
def test_arrays_that_lead_astray_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="don't fit together"):
        SectorGrid(SECTORS, **{**arrays(), name: np.array(value)})


@pytest.mark.parametrize("children", [[1, 0, 0, 0, 0, 0], [1, 5, 5, 0, 0, 0, 0, 0, 0]], ids=["none", "two"])
def test_a_cell_that_is_the_child_of_none_or_of_two_is_refused(children: list[int]) -> None:
    count = len(children)
    cells = {"firsts": [0] * count, "starts": [0] * count + [2]}
    given = {name: np.array(value, np.int32) for name, value in {**cells, "children": children}.items()}
    with pytest.raises(ValueError, match="don't fit together"):
        SectorGrid(SECTORS, **{**arrays(), **given})


@pytest.mark.parametrize(
    "place",
    [(0, 1, 0), (0, 0, -1), (23, 0, 0), (-1, 0, 0), (5, 32, 0), (64, 0, 0)],
)
def test_what_is_no_place_on_the_grid_is_refused(place: tuple[int, int, int]) -> None:
    damaged = TileId(0, 0, 0, TileSource.IMPORTED)
    for name, value in zip(("zoom_level", "x", "y"), place, strict=True):
        object.__setattr__(damaged, name, value)
    with pytest.raises(ValueError, match="no tile of the grid"):
        judge().verdict_on(damaged, 0, NOW)


@pytest.mark.parametrize(
    ("misuse", "error"),
    [
        (lambda: ANY_GRID(list(SECTORS), **arrays()), TypeError),
        (lambda: ANY_GRID(None, **arrays()), TypeError),
        (lambda: SectorGrid(SECTORS, **{**arrays(), "windows": None}), (TypeError, ValueError)),
        (lambda: ANY_GRID.__new__(SectorGrid), TypeError),
        (lambda: ANY_JUDGE.__new__(SectorGridJudge), TypeError),
        (lambda: ANY_JUDGE({}, {}, REAR, None), KeyError),
        (
            lambda: ANY_JUDGE({CONFLICT: SectorGrid(SECTORS, **arrays())}, {REAR: RULES[REAR]}, REAR, None),
            KeyError,
        ),
        (lambda: ANY_JUDGE({CONFLICT: SECTORS}, RULES, REAR, None), TypeError),
        (lambda: judge().verdict_on(None, 0, NOW), TypeError),
        (lambda: judge().verdict_on("0/0/0", 0, NOW), TypeError),
        (lambda: judge().verdict_on(TileId.__new__(TileId), 0, NOW), AttributeError),
        (lambda: judge().verdict_on(WORLD, 0, None), TypeError),
        (lambda: judge().verdict_on(WORLD, 0, NOW.replace(tzinfo=None)), TypeError),
        (lambda: judge().verdict_on(WORLD, 0, 5), TypeError),
        (lambda: judge().verdict_on(WORLD, "0", NOW), TypeError),
        (lambda: judge().verdict_on(WORLD, 1 << 62, NOW), OverflowError),
        (lambda: judge().verdict_on(WORLD, -(1 << 62), NOW), OverflowError),
        (lambda: judge().verdict_on(WORLD, 1 << 64, NOW), OverflowError),
    ],
)
def test_misuse_is_an_exception(misuse: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        misuse()


def test_a_verdict_is_as_frozen_as_one_made_by_the_domain() -> None:
    verdict = judge().verdict_on(WORLD, 0, NOW)
    with pytest.raises(AttributeError):
        verdict.age = NOW - NOW
    assert repr(verdict).startswith("FreshnessVerdict(decision=<FreshnessDecision.REJECT: 2>, age=")


def cell_arrays() -> dict[str, Any]:
    """A triangle that may matter in two of the four cells of level 1."""
    return {
        "windows": touched_lines(np.array([[10.0, 10.0, 20.0, 20.0]])),
        "points": np.array([[10.0, 10.0], [20.0, 10.0], [10.0, 20.0], [10.0, 10.0]]),
        "level": 1,
        "columns": np.array([0, 1, 0, 1]),
        "rows": np.array([0, 0, 1, 1]),
        "settled": np.ones(4, np.int64),
        "cell": np.array([0, 1]),
        "source": np.array([0, 0]),
        "sector": np.array([0]),
        "inside": np.zeros(1, np.uint8),
        "starts": np.array([0, 3]),
        "lines": np.arange(3, dtype=np.int32),
        "from_outside": True,
    }


def test_a_triangle_matters_in_the_cell_that_it_lies_in() -> None:
    settled, firsts, cell, *_ = narrowed(**cell_arrays())
    assert (settled.tolist(), firsts.tolist(), cell.tolist()) == ([1, 1, 1, 1], [1, 0, 1, 1], [1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("windows", np.zeros((1, 3), np.int32)),
        ("windows", np.zeros((0, 4), np.int32)),
        ("points", np.zeros((4, 3))),
        ("points", np.zeros((3, 2))),
        ("level", 23),
        ("level", -1),
        ("columns", np.array([0, 2, 0, 1])),
        ("columns", np.array([0, 1, 0])),
        ("rows", np.array([0, 0, -1, 1])),
        ("settled", np.ones(3, np.int64)),
        ("cell", np.array([0, 4])),
        ("cell", np.array([-1, 1])),
        ("source", np.array([0, 1])),
        ("source", np.array([0])),
        ("sector", np.array([1])),
        ("inside", np.zeros(0, np.uint8)),
        ("starts", np.array([0, 4])),
        ("starts", np.array([3, 0])),
        ("starts", np.zeros(0, np.int64)),
        ("lines", np.array([0, 1, 3], np.int32)),
        ("lines", np.array([-1, 1, 2], np.int32)),
    ],
)
def test_arrays_of_cells_that_do_not_fit_together_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="sector cells"):
        narrowed(**{**cell_arrays(), name: value})
