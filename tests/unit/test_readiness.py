"""Go or no-go beside a check tile by tile, over random stores; and each reason by itself."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from operator import itemgetter
from typing import Any
from uuid import UUID

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.adapters.memory.sector_index import MemorySectorIndex
from aerotile.domain.policies.freshness import FreshnessDecision, FreshnessGrounds
from aerotile.domain.readiness.check_readiness import check_readiness
from aerotile.domain.readiness.flight_plan import FlightPlan, overflown_tiles, wanted_spans
from aerotile.domain.readiness.held_tiles import DAMAGED, NOT_CHECKED, WHOLE, HeldTiles, IndexedTiles
from aerotile.domain.readiness.judge_tiles import TileFault
from aerotile.domain.readiness.report import Condition, Readiness
from aerotile.domain.store.freshness_gate import judge_by
from aerotile.domain.values.areas import Area
from aerotile.domain.values.corridors import Corridor
from aerotile.domain.values.routes import Route
from aerotile.domain.values.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.domain.values.timestamps import microseconds_of

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
FLIGHTS = (UUID(int=7), UUID(int=9))
SECTORS = (SectorBoundary("north", SectorClassification.ACTIVE_CONFLICT, Bbox(48.2, 11, 49, 12)),)
GROUNDS = FreshnessGrounds(SECTORS, SEEDED_RULES, SectorClassification.STABLE_REAR)
JUDGE = judge_by(GROUNDS, MemorySectorIndex(SECTORS)).verdict_on
REMEDIES = {fault: f"mend {fault.name}" for fault in TileFault}
PLAN = FlightPlan(Route([(11.0, 48.0), (11.3, 48.2), (11.2, 48.5)]), 3_000.0, (9, 11), NOON)


@attrs.frozen
class Facts:
    """What a layer knows of one tile."""

    captured_at: datetime
    wholeness: int


Layer = dict[TileId, Facts]


def held(name: str, layer: Layer, flights: tuple[UUID, ...] = FLIGHTS) -> HeldTiles:
    variants = VariantTable(flights)
    by_key = [(encode_tile_key(tile_id, variants), facts) for tile_id, facts in layer.items()]
    by_key.sort(key=itemgetter(0))
    return HeldTiles(
        name,
        np.array([key for key, _ in by_key], np.int64),
        variants,
        np.array([microseconds_of(facts.captured_at) for _, facts in by_key], np.int64),
        np.array([facts.wholeness for _, facts in by_key], np.uint8),
    )


def indexed(tiles: list[TileId]) -> IndexedTiles:
    variants = VariantTable(FLIGHTS[::-1])  # a table of its own, and each tile twice
    keys = [encode_tile_key(tile_id, variants) for tile_id in [*tiles, *tiles]]
    return IndexedTiles(np.array(keys, np.int64), variants)


def answer(
    plan: FlightPlan, layers: list[HeldTiles], index: IndexedTiles | None, *conditions: Condition
) -> Readiness:
    return check_readiness(
        plan, layers=layers, index=index, judge=JUDGE, conditions=conditions, remedies=REMEDIES
    )


def faults_one_by_one(
    plan: FlightPlan, layers: list[Layer], described: set[TileId]
) -> dict[tuple[int, int, int, int], int]:
    """The faults of each tile by leg, zoom, x and y, asked for one at a time."""
    found = {}
    for number, planned in enumerate(plan.legs()):
        area = Area((Corridor(planned.leg.points, plan.half_width_m),), plan.zooms)
        for zoom in plan.zooms:
            for span in area.spans(zoom):
                for x in range(span.min_x, span.max_x + 1):
                    of_place: dict[TileId, Facts] = {}
                    for layer in reversed(layers):
                        at_place = {t: f for t, f in layer.items() if place_of(t) == (zoom, x, span.y)}
                        of_place.update(at_place)
                    found[number, zoom, x, span.y] = min(
                        (fault_of(*each, planned.ends_at, described) for each in of_place.items()),
                        default=16,
                    )
    return found


def from_north(place: tuple[int, int, int, int]) -> tuple[int, int]:
    return place[3], place[2]


def place_of(tile: TileId) -> tuple[int, int, int]:
    return tile.zoom_level, tile.x, tile.y


def fault_of(tile: TileId, facts: Facts, at: datetime, described: set[TileId]) -> int:
    verdict = JUDGE(tile, microseconds_of(facts.captured_at), at)
    return (
        (facts.wholeness == NOT_CHECKED)
        + 2 * (tile not in described)
        + 4 * (verdict.decision is not FreshnessDecision.ACCEPT)
        + 8 * (facts.wholeness == DAMAGED)
    )


def everything(plan: FlightPlan, captured_at: datetime = NOON - timedelta(days=30)) -> Layer:
    """A whole and fresh tile at every place that the plan needs."""
    wanted = answer(plan, [], None).wanted
    places = zip(wanted.zoom.tolist(), wanted.x.tolist(), wanted.y.tolist(), strict=True)
    return {TileId(*place, TileSource.IMPORTED): Facts(captured_at, WHOLE) for place in places}


ages = st.sampled_from([1.0, 179.0, 180.2, 364.9, 365.1, 400.0])
facts = st.builds(
    lambda days, wholeness: Facts(NOON - timedelta(days=days), wholeness),
    ages,
    st.sampled_from([WHOLE, WHOLE, NOT_CHECKED, DAMAGED]),
)
flights = [(TileSource.ONBOARD, flight) for flight in FLIGHTS]
sources = st.sampled_from([(TileSource.IMPORTED, None), (TileSource.SATELLITE_PROVIDER, None), *flights])


@st.composite
def layers_of_tiles(draw: st.DrawFn) -> Layer:
    layer: Layer = {}
    for tile in everything(PLAN):
        for source, flight in draw(st.lists(sources, max_size=2)):
            layer[TileId(tile.zoom_level, tile.x, tile.y, source, flight)] = draw(facts)
    return layer


@given(st.lists(layers_of_tiles(), max_size=2), st.data())
def test_the_figures_are_those_of_a_check_tile_by_tile(layers: list[Layer], data: st.DataObject) -> None:
    every = sorted({tile for layer in layers for tile in layer}, key=str)
    described = {tile for tile in every if data.draw(st.integers(0, 3))}
    # Slow enough that some tiles turn stale on the way.
    plan = attrs.evolve(PLAN, diversions=(Route([(11.2, 48.5), (11.0, 48.4)], name="field"),), speed_m_s=0.3)
    expected = faults_one_by_one(plan, layers, described)
    found = answer(plan, [held("layer", layer) for layer in layers], indexed(sorted(described, key=str)))
    wanted = found.wanted
    columns = (wanted.leg, wanted.zoom, wanted.x, wanted.y)
    named = list(zip(*(column.tolist() for column in columns), strict=True))
    assert len(named) == len(set(named))
    assert dict(zip(named, found.faults.tolist(), strict=True)) == expected
    for number, leg in enumerate(found.legs):
        for zoom in leg.zooms:
            here = (number, zoom.zoom_level)
            of_zoom = {place: fault for place, fault in expected.items() if place[:2] == here}
            faults = list(of_zoom.values())
            assert zoom.wanted == len(faults)
            assert zoom.ready == faults.count(0)
            assert zoom.present == sum(fault < 16 for fault in faults)
            assert zoom.whole == sum(fault < 16 and not fault & 9 for fault in faults)
            assert zoom.fresh == sum(fault < 16 and not fault & 4 for fault in faults)
            assert zoom.described == sum(fault < 16 and not fault & 2 for fault in faults)
            assert {f.fault: f.tiles for f in zoom.faults} == {
                kind: count for kind in TileFault if (count := sum(bool(fault & kind) for fault in faults))
            }
            for faulty in zoom.faults:
                having = [place for place, fault in of_zoom.items() if fault & faulty.fault]
                _, x, y = (column.tolist() for column in faulty.rows.cells())
                assert [(*here, *place) for place in zip(x, y, strict=True)] == sorted(having, key=from_north)
    over_all = Counter[TileFault]()
    for place in {place[1:] for place in expected}:
        of_place = [fault for each, fault in expected.items() if each[1:] == place]
        over_all.update(kind for kind in TileFault if any(fault & kind for fault in of_place))
    assert {lack.fault: lack.tiles for lack in found.lacks} == dict(over_all)
    assert found.is_go is (set(expected.values()) == {0})


def test_a_flight_whose_tiles_are_all_there_is_a_go() -> None:
    layer = everything(PLAN)
    found = answer(PLAN, [held("store", layer)], indexed(list(layer)), Condition("clock", True, "right"))
    assert found.is_go
    assert found.lacks == ()
    assert found.tiles == len(layer)
    assert all(leg.is_ready for leg in found.legs)


@pytest.mark.parametrize("fault", TileFault)
def test_one_tile_with_one_fault_is_a_no_go_that_names_it(fault: TileFault) -> None:
    layer = everything(PLAN)
    bad = sorted(layer, key=str)[3]
    described = [tile for tile in layer if tile != bad or fault is not TileFault.UNDESCRIBED]
    if fault is TileFault.MISSING:
        del layer[bad]
    elif fault is TileFault.STALE:
        layer[bad] = Facts(NOON - timedelta(days=366), WHOLE)
    elif fault in (TileFault.DAMAGED, TileFault.NOT_CHECKED):
        wholeness = DAMAGED if fault is TileFault.DAMAGED else NOT_CHECKED
        layer[bad] = attrs.evolve(layer[bad], wholeness=wholeness)
    found = answer(PLAN, [held("store", layer)], indexed(described))
    assert not found.is_go
    assert [(lack.fault, lack.tiles, lack.remedy) for lack in found.lacks] == [
        (fault, 1, f"mend {fault.name}")
    ]
    zooms = [zoom for leg in found.legs for zoom in leg.zooms]
    named = {
        (zoom.zoom_level, x, y)
        for zoom in zooms
        for faulty in zoom.faults
        for x, y in zip(*(column.tolist() for column in faulty.rows.cells()[1:]), strict=True)
    }
    assert named == {(bad.zoom_level, bad.x, bad.y)}


def test_a_condition_that_does_not_hold_is_a_no_go() -> None:
    layer = everything(PLAN)
    clock = Condition("clock", False, "1970", "set it")
    found = answer(PLAN, [held("store", layer)], indexed(list(layer)), clock)
    assert (found.is_go, found.lacks) == (False, ())
    for holds, remedy in ((True, "set it"), (False, None)):
        with pytest.raises(ValueError, match="a remedy where it does not hold"):
            attrs.evolve(clock, holds=holds, remedy=remedy)


def test_without_an_index_no_tile_is_described() -> None:
    layer = everything(PLAN)
    assert [lack.fault for lack in answer(PLAN, [held("store", layer)], None).lacks] == [
        TileFault.UNDESCRIBED
    ]


def test_a_damaged_tile_of_the_base_is_not_mended_by_its_twin_in_the_store() -> None:
    whole = everything(PLAN)
    bad = min(whole, key=str)
    base = whole | {bad: attrs.evolve(whole[bad], wholeness=DAMAGED)}
    found = answer(PLAN, [held("base", base), held("store", whole, ())], indexed(list(whole)))
    assert [lack.fault for lack in found.lacks] == [TileFault.DAMAGED]


def test_a_tile_that_turns_stale_on_the_way_is_stale_for_the_legs_behind_that_time_alone() -> None:
    route = Route([(11.0, 47.0), (11.0, 47.5), (11.0, 48.0)])
    (first, second) = (planned.ends_at for planned in FlightPlan(route, 500.0, (11,), NOON).legs())
    turning = first + (second - first) / 2 - timedelta(days=365)
    plan = FlightPlan(route, 500.0, (11,), NOON)
    layer = everything(plan, turning)
    found = answer(plan, [held("store", layer)], indexed(list(layer)))
    assert [leg.is_ready for leg in found.legs] == [True, False]
    assert [lack.fault for lack in found.lacks] == [TileFault.STALE]


def test_a_diversion_begins_at_the_end_of_the_route_at_the_latest() -> None:
    plan = attrs.evolve(PLAN, diversions=(Route([(11.0, 48.0), (11.0, 48.1)]),))
    *route, diversion = plan.legs()
    assert diversion.begins_at == route[-1].ends_at
    assert diversion.route == "diversion 1"


@pytest.mark.parametrize(
    ("route", "speed_m_s", "hours", "pace"),
    [
        (Route([(0, 0), (0, 1)]), None, 3.07, "assumed"),
        (Route([(0, 0), (0, 1)], speed_m_s=20.0), None, 1.54, "as the route says"),
        (Route([(0, 0), (0, 1)], speed_m_s=20.0), 40.0, 0.77, "as given"),
        (Route([(0, 0), (0, 1)], (NOON, NOON + timedelta(hours=5))), None, 5.0, "times of the route"),
        (Route([(0, 0), (0, 1)], (NOON, NOON + timedelta(hours=5))), 40.0, 0.77, "as given"),
    ],
)
def test_the_pace_comes_from_the_operator_the_route_or_an_assumption(
    route: Route, speed_m_s: float | None, hours: float, pace: str
) -> None:
    plan = FlightPlan(route, 5_000.0, (12,), NOON, speed_m_s=speed_m_s)
    assert (plan.legs()[0].ends_at - NOON) / timedelta(hours=1) == pytest.approx(hours, abs=0.05)
    assert pace in plan.pace


def test_tiles_below_the_route_are_fewer_than_those_of_the_corridor() -> None:
    assert 0 < overflown_tiles(PLAN) < answer(PLAN, [], None).tiles


@pytest.mark.parametrize(
    "change",
    [
        {"half_width_m": 10_000.0, "zooms": (12, 22)},
        {"half_width_m": 1_000_000.0, "zooms": (22,)},  # refused before its rows fill the memory
        {"half_width_m": 40_000.0, "zooms": (19, 20)},
    ],
)
def test_a_corridor_of_too_many_tiles_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fewer zooms"):
        wanted_spans(attrs.evolve(PLAN, **change))


@pytest.mark.parametrize("south", [1, -1])
@pytest.mark.parametrize(
    "points",
    [
        [(10.0, 88.0), (10.0, 89.5)],
        [(10.0, 80.0), (10.0, 85.05)],
        [(0.0, 84.0), (180.0, 84.0)],  # the great circle leads over the pole
    ],
)
def test_ground_that_no_tile_can_show_is_refused(points: list[tuple[float, float]], south: int) -> None:
    route = Route([(lon, lat * south) for lon, lat in points])
    with pytest.raises(ValueError, match=r"degrees of latitude, and no tile lies beyond 85\.0511"):
        wanted_spans(attrs.evolve(PLAN, route=route, half_width_m=300.0))
    with pytest.raises(ValueError, match="no tile lies beyond"):
        wanted_spans(attrs.evolve(PLAN, diversions=(route,), half_width_m=300.0))


def test_a_wide_corridor_around_too_many_points_is_refused_before_its_rows_fill_the_memory() -> None:
    crowded = Route([(10 + number * 1e-6, 48) for number in range(100_000)])
    with pytest.raises(ValueError, match="points of the route that lie close"):
        wanted_spans(attrs.evolve(PLAN, route=crowded, half_width_m=1_000_000.0, zooms=(12,)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zooms": ()}, "one zoom or more"),
        ({"zooms": (23,)}, "zoom_level must be"),
        ({"half_width_m": -1.0}, "half_width_m must be"),
        ({"speed_m_s": 0.0}, "speed_m_s must be"),
        ({"take_off": datetime(2026, 1, 1)}, "must have an offset"),  # noqa: DTZ001 - wrong on purpose
        ({"take_off": datetime(9999, 12, 31, 23, 59, tzinfo=timezone.utc)}, "lasts too long"),
    ],
)
def test_an_impossible_plan_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attrs.evolve(PLAN, **change)  # type: ignore[arg-type]  # wrong on purpose


def test_layers_that_do_not_fit_together_are_refused() -> None:
    good = held("store", everything(PLAN))
    with pytest.raises(ValueError, match="ascend"):
        attrs.evolve(good, keys=good.keys[::-1])
    with pytest.raises(ValueError, match="one capture time"):
        attrs.evolve(good, captured_us=good.captured_us[1:])
