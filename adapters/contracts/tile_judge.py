"""The contract of `TileJudge`: the verdict of `judge_freshness` on the sectors that touch the tile's box."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...domain.policies.freshness import FreshnessDecision, FreshnessVerdict, Rules, judge_freshness
from ...domain.ports.sector_index import TileJudge
from ...domain.values.sectors import SEEDED_RULES, FreshnessRule, SectorBoundary, SectorClassification
from ...domain.values.shapes import MultiPolygon, Polygon, corners_of, shares_point
from ...domain.values.tile_grid import MAX_ZOOM, Bbox, tile_bbox
from ...domain.values.tiles import TileId, TileSource
from ...domain.values.timestamps import microseconds_of
from .generated_examples import FROM_A_FACTORY

CONFLICT = SectorClassification.ACTIVE_CONFLICT

REAR = SectorClassification.STABLE_REAR

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)

SEEDED = {rule.classification: rule for rule in SEEDED_RULES}

WORLD = Bbox(-90.0, -180.0, 90.0, 180.0)

MakeTileJudge = Callable[[Sequence[SectorBoundary], Rules, SectorClassification], TileJudge]


@st.composite
def tiles(draw: st.DrawFn) -> TileId:
    zoom = draw(st.integers(0, MAX_ZOOM))
    last = (1 << zoom) - 1
    # The edges of the world are drawn often, and neighbours of the middle, where coarse cells meet.
    position = st.one_of(
        st.sampled_from([0, last, last // 2, min(last // 2 + 1, last)]),
        st.integers(0, last),
    )
    return TileId(zoom, draw(position), draw(position), TileSource.IMPORTED)


@st.composite
def edges(draw: st.DrawFn, near: TileId) -> tuple[float, float]:
    """A latitude and a longitude: the edge of a tile, the float next to an edge, or anywhere."""
    box = draw(st.sampled_from([near, draw(tiles())])).bbox

    def beside(value: float, low: float, high: float) -> float:
        toward = draw(st.sampled_from([value, -math.inf, math.inf]))
        return max(low, min(high, math.nextafter(value, toward)))

    lat = draw(st.one_of(st.sampled_from([box.min_lat, box.max_lat]), st.floats(-90, 90)))
    lon = draw(st.one_of(st.sampled_from([box.min_lon, box.max_lon]), st.floats(-180, 180)))
    return beside(lat, -90.0, 90.0), beside(lon, -180.0, 180.0)


@st.composite
def sectors_around(draw: st.DrawFn, tile_id: TileId) -> list[SectorBoundary]:
    def box() -> Bbox:
        if draw(st.integers(0, 9)) == 0:
            return WORLD
        (lat, lon), (other_lat, other_lon) = draw(edges(tile_id)), draw(edges(tile_id))
        return Bbox(min(lat, other_lat), min(lon, other_lon), max(lat, other_lat), max(lon, other_lon))

    def polygon() -> Polygon:
        corners = st.lists(edges(tile_id).map(lambda place: place[::-1]), min_size=3, max_size=6, unique=True)
        return Polygon(draw(st.lists(corners, min_size=1, max_size=2)))

    def quarters() -> MultiPolygon:
        """The tile's box cut in four at a point of it, so that it is covered, often but for a sliver."""
        around = tile_id.bbox
        lat = draw(st.floats(around.min_lat, around.max_lat))
        lon = draw(st.floats(around.min_lon, around.max_lon))
        south_west, south_east, north_east, north_west = corners_of(around)
        borders = [south_west, south_east, north_east, north_west, south_west]
        rings = [(a, b, (lon, lat)) for a, b in pairwise(borders) if len({a, b, (lon, lat)}) == 3]
        return MultiPolygon(
            [Polygon([ring]) for ring in draw(st.permutations(rings))[: draw(st.integers(1, 4))]]
        )

    names = draw(st.lists(st.text("abc", min_size=1, max_size=2), max_size=40))
    kinds = st.sampled_from(draw(st.sampled_from([[CONFLICT], [REAR], [CONFLICT, REAR]])))
    shapes: list[Callable[[], Bbox | Polygon | MultiPolygon]] = [box, polygon, quarters]
    return [SectorBoundary(name, draw(kinds), draw(st.sampled_from(shapes))()) for name in names]


@st.composite
def cases(draw: st.DrawFn) -> tuple[TileId, list[SectorBoundary]]:
    tile_id = draw(tiles())
    return tile_id, draw(sectors_around(tile_id))


def rules_of_days(days: dict[SectorClassification, int]) -> Rules:
    return {kind: FreshnessRule(kind, timedelta(days=limit)) for kind, limit in days.items()}


rule_tables = st.fixed_dictionaries({kind: st.integers(1, 500) for kind in SEEDED}).map(rules_of_days)


def judged_by_every_shape(
    tile_id: TileId,
    captured_at: datetime,
    sectors: Sequence[SectorBoundary],
    rules: Rules,
    default: SectorClassification,
) -> FreshnessVerdict:
    """The verdict by comparing the tile's box with the shape of every sector."""
    over = [sector for sector in sectors if shares_point(sector.shape, tile_id.bbox)]
    ordered = sorted(over, key=lambda sector: sector.sector_id)
    return judge_freshness(tile_id, captured_at, NOW, ordered, rules, default)


class TileJudgeContract:
    """Holds a judge that a factory builds from sectors, rules and the default classification."""

    @pytest.fixture
    def make_judge(self) -> MakeTileJudge:
        """Build the judge under test. Override it."""
        raise NotImplementedError

    @FROM_A_FACTORY
    @given(
        case=cases(),
        rules=rule_tables,
        default=st.sampled_from(SectorClassification),
        age=st.timedeltas(timedelta(days=-2), timedelta(days=600)),
    )
    def test_every_judge_says_what_every_shape_compared_says(
        self,
        make_judge: MakeTileJudge,
        case: tuple[TileId, list[SectorBoundary]],
        rules: Rules,
        default: SectorClassification,
        age: timedelta,
    ) -> None:
        tile_id, sectors = case
        expected = judged_by_every_shape(tile_id, NOW - age, sectors, rules, default)
        captured_us = microseconds_of(NOW - age)
        verdict = make_judge(sectors, rules, default).verdict_on(tile_id, captured_us, NOW)
        assert verdict == expected
        assert verdict.sector is expected.sector
        assert hash(verdict) == hash(expected)

    @FROM_A_FACTORY
    @given(tile_id=tiles(), others=st.lists(tiles(), max_size=20))
    def test_many_sectors_with_a_corner_in_common_are_told_apart(
        self, make_judge: MakeTileJudge, tile_id: TileId, others: list[TileId]
    ) -> None:
        # Corners of forty boxes meet in the tile's corner; some touch it there, some end just before.
        box = tile_id.bbox
        sectors = []
        for number in range(40):
            south = min(90.0, box.max_lat if number % 2 else math.nextafter(box.max_lat, math.inf))
            reach = 1e-7 * 1.5**number
            corners = Bbox(south, box.min_lon, min(90.0, south + reach), min(180.0, box.min_lon + reach))
            sectors.append(SectorBoundary(f"{40 - number:02}", CONFLICT if number % 3 else REAR, corners))
        judge = make_judge(sectors, SEEDED, REAR)
        for other in [tile_id, *others]:
            expected = judged_by_every_shape(other, NOW, sectors, SEEDED, REAR)
            assert judge.verdict_on(other, microseconds_of(NOW), NOW) == expected

    @FROM_A_FACTORY
    @given(
        tile_id=tiles(),
        lines=st.integers(3, 100),
        part=st.floats(0, 1),
        others=st.lists(tiles(), max_size=20),
    )
    def test_tiles_around_the_edge_of_a_large_polygon_are_told_apart(
        self, make_judge: MakeTileJudge, tile_id: TileId, lines: int, part: float, others: list[TileId]
    ) -> None:
        # Its edge passes near the tile's corner, its hole near the neighbour's.
        box = tile_id.bbox
        reach = min(4 * (box.max_lon - box.min_lon) * (1 + part), 170.0)
        lat, lon = (
            box.min_lat + part * (box.max_lat - box.min_lat),
            max(-170.0, min(170.0, box.min_lon - part * reach)),
        )
        ring = [
            (
                max(-180.0, min(180.0, lon + reach * math.cos(math.tau * i / lines))),
                max(-90.0, min(90.0, lat + reach * math.sin(math.tau * i / lines))),
            )
            for i in range(lines)
        ]
        hole = [((at + lon) / 2, (height + lat) / 2) for at, height in ring]
        sectors = [
            SectorBoundary("a", CONFLICT, Polygon([ring, hole])),
            SectorBoundary("b", REAR, Polygon([ring])),
        ]
        judge = make_judge(sectors, SEEDED, CONFLICT)
        near = [
            TileId(tile_id.zoom_level, x, y, TileSource.IMPORTED)
            for x in range(max(0, tile_id.x - 2), min(1 << tile_id.zoom_level, tile_id.x + 3))
            for y in range(max(0, tile_id.y - 2), min(1 << tile_id.zoom_level, tile_id.y + 3))
        ]
        for other in [*near, *others]:
            expected = judged_by_every_shape(other, NOW, sectors, SEEDED, CONFLICT)
            assert judge.verdict_on(other, microseconds_of(NOW), NOW) == expected

    def test_ground_in_no_sector_has_the_default_classification_unless_sectors_cover_all_of_a_tile(
        self, make_judge: MakeTileJudge
    ) -> None:
        tile_id = TileId(12, 2400, 1400, TileSource.IMPORTED)
        box = tile_id.bbox
        middle = (box.min_lon + box.max_lon) / 2

        def deciding(gap: float) -> SectorBoundary | None:
            west = Bbox(box.min_lat, box.min_lon, box.max_lat, middle)
            east = Bbox(box.min_lat, middle + gap, box.max_lat, box.max_lon)
            sectors = [SectorBoundary("w", REAR, west), SectorBoundary("e", REAR, east)]
            return make_judge(sectors, SEEDED, CONFLICT).verdict_on(tile_id, 0, NOW).sector

        assert deciding(0.0) is not None
        assert deciding(0.9e-9) is not None
        assert deciding(1.1e-9) is None

    def test_without_sectors_the_default_classification_rules_everywhere(
        self, make_judge: MakeTileJudge
    ) -> None:
        judge = make_judge([], SEEDED, CONFLICT)
        for zoom in (0, 1, MAX_ZOOM):
            verdict = judge.verdict_on(TileId(zoom, 0, 0, TileSource.IMPORTED), 0, NOW)
            assert (verdict.sector, verdict.rule.classification) == (None, CONFLICT)

    def test_no_box_reaches_across_the_antimeridian(self, make_judge: MakeTileJudge) -> None:
        judge = make_judge([SectorBoundary("a", CONFLICT, Bbox(-10, 170, 10, 180))], SEEDED, REAR)
        last = (1 << 6) - 1
        east = judge.verdict_on(TileId(6, last, last // 2, TileSource.IMPORTED), 0, NOW)
        west = judge.verdict_on(TileId(6, 0, last // 2, TileSource.IMPORTED), 0, NOW)
        assert east.sector is not None
        assert west.sector is None

    def test_a_sector_beyond_the_projection_lies_over_no_tile(self, make_judge: MakeTileJudge) -> None:
        north_edge, south_edge = tile_bbox(0, 0, 0).max_lat, tile_bbox(0, 0, 0).min_lat
        polar = [
            SectorBoundary("n", CONFLICT, Bbox(math.nextafter(north_edge, 90), -180, 90, 180)),
            SectorBoundary("s", CONFLICT, Bbox(-90, -180, math.nextafter(south_edge, -90), 180)),
        ]
        world = TileId(0, 0, 0, TileSource.IMPORTED)
        assert make_judge(polar, SEEDED, REAR).verdict_on(world, 0, NOW).sector is None
        touching = [SectorBoundary("n", CONFLICT, Bbox(north_edge, -180, 90, 180))]
        assert make_judge(touching, SEEDED, REAR).verdict_on(world, 0, NOW).sector is touching[0]

    def test_a_sector_within_one_smallest_tile_lies_over_that_tile_alone(
        self, make_judge: MakeTileJudge
    ) -> None:
        x, y = 1 << 21, (1 << 21) - 7
        lat, lon = TileId(MAX_ZOOM, x, y, TileSource.IMPORTED).centre
        judge = make_judge([SectorBoundary("dot", CONFLICT, Bbox(lat, lon, lat, lon))], SEEDED, REAR)
        for column in (x - 1, x, x + 1):
            for row in (y - 1, y, y + 1):
                verdict = judge.verdict_on(TileId(MAX_ZOOM, column, row, TileSource.IMPORTED), 0, NOW)
                assert (verdict.sector is not None) == ((column, row) == (x, y))

    @pytest.mark.parametrize("over_microseconds", [0, 1])
    def test_the_age_is_counted_to_the_microsecond(
        self, make_judge: MakeTileJudge, over_microseconds: int
    ) -> None:
        judge = make_judge([SectorBoundary("w", CONFLICT, WORLD)], SEEDED, REAR)
        age = timedelta(days=180, microseconds=over_microseconds)
        verdict = judge.verdict_on(TileId(3, 1, 1, TileSource.IMPORTED), microseconds_of(NOW - age), NOW)
        assert verdict.age == age
        assert verdict.decision is (
            FreshnessDecision.REJECT if over_microseconds else FreshnessDecision.ACCEPT
        )

    @FROM_A_FACTORY
    @given(
        captured=st.datetimes(timezones=st.just(timezone.utc)),
        now=st.datetimes(timezones=st.just(timezone.utc)),
    )
    def test_every_moment_of_the_calendar_is_judged(
        self, make_judge: MakeTileJudge, captured: datetime, now: datetime
    ) -> None:
        tile_id = TileId(3, 1, 1, TileSource.IMPORTED)
        verdict = make_judge([], SEEDED, REAR).verdict_on(tile_id, microseconds_of(captured), now)
        assert verdict.age == max(now - captured, timedelta(0))

    def test_a_clock_that_names_utc_otherwise_is_understood(self, make_judge: MakeTileJudge) -> None:
        two_hours_east = NOW.astimezone(timezone(timedelta(hours=2)))
        verdict = make_judge([], SEEDED, REAR).verdict_on(
            TileId(3, 1, 1, TileSource.IMPORTED), microseconds_of(NOW), two_hours_east
        )
        assert verdict.age == timedelta(0)

    def test_many_threads_ask_at_once_and_get_right_answers(self, make_judge: MakeTileJudge) -> None:
        sectors = [
            SectorBoundary(f"{x:03}/{y:03}", CONFLICT, tile_bbox(2 * x, 2 * y, 6))
            for x in range(32)
            for y in range(32)
        ]
        judge = make_judge(sectors, SEEDED, REAR)

        def ask(worker: int) -> bool:
            return all(
                judge.verdict_on(TileId(8, 8 * x + 2, 8 * y + 2, TileSource.IMPORTED), 0, NOW).sector
                is sectors[32 * x + y]
                for x in range(worker, 32, 8)
                for y in range(32)
            )

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(8)))
