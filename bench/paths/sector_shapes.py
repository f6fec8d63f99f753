"""P-6 with polygons: the verdict among 10,000 of 5 to 500 points, from four threads, at zoom 12 and above.

One row asks for tiles that no edge of a polygon crosses; its floor is ours over the boxes around the
polygons. The other asks for tiles that an edge crosses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from harness.operations import Operation, Unavailable
from harness.sectors import NOW, Question, load_sectors, polygons, questions
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.threads import from_threads
from harness.workshop import Workshop

from aerotile import SectorBoundary
from aerotile.adapters.composition import runtime_of

from .freshness import GREATEST_AGES, THREADS, microseconds_of

ZOOMS = (12, 13, 14, 15, 16, 17, 18)
_QUESTIONS = 8192


def _asked(workshop: Workshop, crossed: bool) -> list[Question]:
    """Tiles of all zooms that an edge crosses, or that none does."""
    try:
        import shapely
    except ImportError as error:
        raise Unavailable("tiles are chosen by shapely, which is not installed") from error
    edges = shapely.STRtree([shapely.LinearRing(s.shape.rings[0]) for s in polygons(workshop.sizes.sectors)])
    found = questions(8 * _QUESTIONS, ZOOMS)
    boxes = [question.tile_id.bbox for question in found]
    near = edges.query(
        shapely.box(*zip(*((b.min_lon, b.min_lat, b.max_lon, b.max_lat) for b in boxes), strict=True)),
        predicate="intersects",
    )
    touched = set(near[0].tolist())
    return [question for number, question in enumerate(found) if (number in touched) is crossed][:_QUESTIONS]


def _ours(crossed: bool, sectors: Callable[[int], list[SectorBoundary]], name: str) -> Any:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        config = workshop.config(f"{name} {crossed}")
        dsn = config.database.dsn
        assert dsn is not None
        load_sectors(dsn.reveal(), sectors(workshop.sizes.sectors))
        gate: Any = runtime_of(config).part("freshness_gate")
        asked = [(q.tile_id, microseconds_of(q.captured_at), NOW) for q in _asked(workshop, crossed)]
        yield from_threads(gate.verdict_on, asked, THREADS)

    return opened


def _boxes(count: int) -> list[SectorBoundary]:
    return [SectorBoundary(s.sector_id, s.classification, s.bbox) for s in polygons(count)]


def _strtree(crossed: bool) -> Any:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        import shapely

        boundaries = polygons(workshop.sizes.sectors)
        shapes = [shapely.Polygon(sector.shape.rings[0]) for sector in boundaries]
        shapely.prepare(shapes)
        tree = shapely.STRtree(shapes)
        limits = [GREATEST_AGES[sector.classification] for sector in boundaries]

        def verdict(bounds: tuple[float, float, float, float], age: timedelta) -> bool:
            return any(
                age > limits[number] for number in tree.query(shapely.box(*bounds), predicate="intersects")
            )

        asked = []
        for question in _asked(workshop, crossed):
            box = question.tile_id.bbox
            bounds = (box.min_lon, box.min_lat, box.max_lon, box.max_lat)
            asked.append((bounds, NOW - question.captured_at))
        yield from_threads(verdict, asked, THREADS)

    return opened


def _path(row: str, crossed: bool) -> MeasuredPath:
    return MeasuredPath(
        id=row,
        subjects=(
            Subject(name="Aerotile", role=Role.OURS, open=_ours(crossed, polygons, "polygons")),
            Subject(
                name="Aerotile over boxes",
                role=Role.REFERENCE if crossed else Role.FLOOR,
                open=_ours(crossed, _boxes, "boxes"),
                note="the boxes around the polygons, on the same tiles",
            ),
            Subject(
                name="STRtree, prepared",
                role=Role.PEER,
                open=_strtree(crossed),
                needs=("shapely",),
                note="whether a rule is broken, no reasons; the box is made per query",
            ),
        ),
        full=Effort(blocks=10, rounds=2000),
        quick=Effort(blocks=5, rounds=2000),
    )


CLEAR = _path("P-6 clear", crossed=False)
CROSSED = _path("P-6 crossed", crossed=True)
