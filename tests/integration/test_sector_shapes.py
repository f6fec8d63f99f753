"""Shapes of sectors beside shapely's exact predicates: none is missed, and none is counted far off."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from aerotile.adapters.rtree import RtreeSectorIndex
from aerotile.domain.values.sector_coverage import SMALLEST_GAP, covers_tile
from aerotile.domain.values.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import ROUNDING, MultiPolygon, Polygon, corners_of, shares_point
from aerotile.domain.values.tile_grid import Bbox, Point, column_and_row, tile_bbox
from aerotile.domain.values.tiles import TileId, TileSource

RULES = {rule.classification: rule for rule in SEEDED_RULES}
CONFLICT, REAR = SectorClassification
NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


@st.composite
def tiles(draw: st.DrawFn) -> TileId:
    zoom_level = draw(st.sampled_from([0, 3, 8, 12, 17, 22]))
    x, y = column_and_row(draw(st.floats(-80, 80)), draw(st.floats(-180, 180)), zoom_level)
    return TileId(zoom_level, x, y, TileSource.IMPORTED)


@st.composite
def points_near(draw: st.DrawFn, box: Bbox) -> Point:
    """Around a box, often on its edges and corners, or beside them by the smallest of steps."""
    steps, parts = st.sampled_from([-400.0, 400.0]), st.floats(-2, 3)

    def beside(low: float, high: float, limit: float) -> float:
        edge = draw(st.sampled_from([low, high]))
        place = draw(
            st.sampled_from([edge, math.nextafter(edge, draw(steps)), low + draw(parts) * (high - low)])
        )
        return max(-limit, min(limit, place if abs(place) > 1e-300 else 0.0))  # GEOS loses smaller ones

    return beside(box.min_lon, box.max_lon, 180.0), beside(box.min_lat, box.max_lat, 90.0)


@st.composite
def polygons_near(draw: st.DrawFn, box: Bbox) -> Polygon:
    """Any valid polygon from a sliver to a star, with a hole or none."""
    ring = list(dict.fromkeys(draw(st.lists(points_near(box), min_size=3, max_size=8))))
    assume(len(ring) >= 3)
    lon, lat = (sum(places) / len(ring) for places in zip(*ring, strict=True))
    ring.sort(key=lambda point: math.atan2(point[1] - lat, point[0] - lon))
    rings = [ring]
    if draw(st.booleans()):
        hole = [((x + lon) / 2, (y + lat) / 2) for x, y in ring]
        assume(len(set(hole)) >= 3)
        rings.append(hole)
    assume(as_shapely(Polygon(rings)).is_valid)
    return Polygon(rings)


def as_shapely(shape: Bbox | Polygon | MultiPolygon) -> shapely.Geometry:
    if isinstance(shape, Bbox):
        return shapely.box(shape.min_lon, shape.min_lat, shape.max_lon, shape.max_lat)
    if isinstance(shape, MultiPolygon):
        return shapely.union_all([as_shapely(polygon) for polygon in shape.polygons])
    outer, *holes = shape.rings
    return shapely.Polygon(outer, holes)


@settings(max_examples=3 * settings().max_examples)
@given(st.data())
def test_a_polygon_counts_exactly_where_it_shares_a_point_with_a_tile(data: st.DataObject) -> None:
    tile_id = data.draw(tiles())
    polygon = data.draw(polygons_near(tile_id.bbox))
    exact, box = as_shapely(polygon), as_shapely(tile_id.bbox)
    index = RtreeSectorIndex([SectorBoundary("a", CONFLICT, polygon)])
    compiled = index.judge(RULES, REAR).verdict_on(tile_id, 0, NOW).sector is not None
    assert shares_point(polygon, tile_id.bbox) is compiled
    if exact.intersects(box):
        assert compiled
    elif compiled:
        assert exact.distance(box) < 2 * ROUNDING


@given(st.data())
def test_tiles_in_all_parts_of_polygons_are_judged_as_shapely_says(data: st.DataObject) -> None:
    around = Bbox(45.0, 25.0, 55.0, 40.0)
    shapes = data.draw(st.lists(polygons_near(around), min_size=1, max_size=3))
    index = RtreeSectorIndex([SectorBoundary(f"{n}", CONFLICT, shape) for n, shape in enumerate(shapes)])
    judge = index.judge(RULES, REAR)
    exact = [as_shapely(shape) for shape in shapes]
    for zoom_level in (5, 9, 13, 18):
        lat, lon = data.draw(st.floats(25, 75)), data.draw(st.floats(0, 70))
        corner = data.draw(st.sampled_from([point for shape in shapes for point in shape.rings[0]]))
        for place in ((lat, lon), corner[::-1]):
            tile_id = TileId(zoom_level, *column_and_row(*place, zoom_level), TileSource.IMPORTED)
            found = judge.verdict_on(tile_id, 0, NOW).sector is not None
            distance = min(shape.distance(as_shapely(tile_id.bbox)) for shape in exact)
            assert found or distance > 0
            assert not found or distance < 2 * ROUNDING


@st.composite
def triangulations(draw: st.DrawFn, box: Bbox) -> list[Polygon]:
    """Triangles that share their edges and cover the convex hull of some points, perhaps one left out."""
    south, north = max(-90, box.min_lat - 1), min(90, box.max_lat + 1)
    far = Bbox(south, max(-180, box.min_lon - 1), north, min(180, box.max_lon + 1))
    around = draw(st.sampled_from([(), corners_of(box), corners_of(far)]))
    points = [*around, *draw(st.lists(points_near(box), min_size=3, max_size=9))]
    try:
        cut = shapely.delaunay_triangles(shapely.MultiPoint(points)).geoms
    except shapely.errors.GEOSException:  # points too near to each other for GEOS
        reject()
    rings = [list(triangle.exterior.coords) for triangle in cut]
    if draw(st.booleans()) and rings:
        del rings[draw(st.integers(0, len(rings) - 1))]
    return [Polygon([ring]) for ring in rings]


@settings(max_examples=3 * settings().max_examples)
@given(st.data())
def test_no_gap_is_overlooked_and_none_is_seen_between_shapes_that_share_their_borders(
    data: st.DataObject,
) -> None:
    tile_id = data.draw(tiles())
    box = tile_id.bbox
    shapes = data.draw(triangulations(box))
    covered = covers_tile(shapes, tile_id.zoom_level, tile_id.x, tile_id.y)
    ground, polygons = as_shapely(box), [as_shapely(shape) for shape in shapes]
    # GEOS loses whole triangles beside slivers of 1e-14 degrees, unless it computes on a grid.
    with np.errstate(all="ignore"):  # it divides by zero inside, also in a buffer, and says so
        gap = ground - shapely.union_all(polygons)
        union = shapely.union_all(polygons, grid_size=1e-12)
        on_grid = shapely.difference(ground, union, grid_size=1e-12)
        wide = not (gap.buffer(-SMALLEST_GAP).is_empty or on_grid.buffer(-SMALLEST_GAP).is_empty)
    if wide:
        assert not covered
    elif gap.is_empty:
        assert covered


def test_a_line_that_rises_by_next_to_nothing_is_as_steep_as_any_other() -> None:
    box = tile_bbox(4, 3, 3)
    west, east, north = box.min_lon, box.max_lon, box.max_lat
    lower = Polygon((((west, north), (west, 0.0), (east, 0.0)),))
    upper = Polygon((((west, north), (east, 0.0), (east, 4e-204)),))  # its square is 0
    assert not covers_tile([lower, upper], 3, 4, 3)


@pytest.mark.parametrize("zoom_level", [4, 6, 12])
def test_a_tile_that_many_lines_cross_is_judged_by_its_quarters(zoom_level: int) -> None:
    x, y = column_and_row(48.0, 35.0, zoom_level)
    box = tile_bbox(x, y, zoom_level)
    across, up = (box.max_lon - box.min_lon) / 12, (box.max_lat - box.min_lat) / 12
    fields = [
        Bbox(
            box.min_lat + row * up,
            box.min_lon + column * across,
            *[
                min(box.max_lat, box.min_lat + (row + 1) * up) if row < 11 else box.max_lat,
                min(box.max_lon, box.min_lon + (column + 1) * across) if column < 11 else box.max_lon,
            ],
        )
        for row in range(12)
        for column in range(12)
    ]
    assert covers_tile(fields, zoom_level, x, y)
    for missing in (0, 77, 143):
        assert not covers_tile([*fields[:missing], *fields[missing + 1 :]], zoom_level, x, y)


def test_a_shape_across_the_antimeridian_counts_on_both_sides_and_nowhere_else() -> None:
    west = Polygon([[(178, 50), (180, 50), (180, 51), (178, 51)]])
    east = Polygon([[(-180, 50), (-178, 50), (-178, 51), (-180, 51)]])
    index = RtreeSectorIndex([SectorBoundary("a", CONFLICT, MultiPolygon([west, east]))])
    counting = [lon for lon in (-180, -179, -177, 0, 100, 177, 179, 180) if index.sectors_at(50.5, lon)]
    assert counting == [-180, -179, 179, 180]
    judge = index.judge(RULES, REAR)
    for lon in (-179.0, -177.0, 0.0, 177.0, 179.0):
        tile_id = TileId.covering(50.5, lon, 12, TileSource.IMPORTED)
        assert (judge.verdict_on(tile_id, 0, NOW).sector is not None) is (abs(lon) == 179.0)
