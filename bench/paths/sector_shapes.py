"""P-6 with polygons: the verdict among 10,000 of 5 to 500 points, from four threads, at zoom 12 and above.

One row asks for tiles that no edge of a polygon crosses; its floor is ours over the boxes around the
polygons. The other asks for tiles that an edge crosses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import attrs
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


@attrs.frozen(eq=False)
class _Shapes:
    """What all subjects of both rows are asked, and what they answer by: the polygons are made once."""

    asked: dict[bool, list[Question]]
    """Tiles of all zooms that an edge crosses, and that none does."""
    gate: Any
    gate_of_boxes: Any
    tree: Any
    """shapely's, of prepared polygons."""
    limits: list[timedelta]


@contextmanager
def _shapes(workshop: Workshop) -> Iterator[_Shapes]:
    try:
        import shapely
    except ImportError as error:
        raise Unavailable("tiles are chosen by shapely, which is not installed") from error
    sectors = polygons(workshop.sizes.sectors)
    shapes = [shapely.Polygon(sector.shape.rings[0]) for sector in sectors]
    shapely.prepare(shapes)
    boxes = [SectorBoundary(s.sector_id, s.classification, s.bbox) for s in sectors]
    yield _Shapes(
        asked=_asked(shapely.STRtree([shape.exterior for shape in shapes])),
        gate=_gate(workshop, "polygons", sectors),
        gate_of_boxes=_gate(workshop, "boxes", boxes),
        tree=shapely.STRtree(shapes),
        limits=[GREATEST_AGES[sector.classification] for sector in sectors],
    )


def _asked(edges: Any) -> dict[bool, list[Question]]:
    found = questions(8 * _QUESTIONS, ZOOMS)
    near = edges.query([_box(question) for question in found], predicate="intersects")
    touched = set(near[0].tolist())
    return {
        crossed: [q for number, q in enumerate(found) if (number in touched) is crossed][:_QUESTIONS]
        for crossed in (True, False)
    }


def _box(question: Question) -> Any:
    import shapely

    return shapely.box(*_bounds(question))


def _bounds(question: Question) -> tuple[float, float, float, float]:
    box = question.tile_id.bbox
    return box.min_lon, box.min_lat, box.max_lon, box.max_lat


def _gate(workshop: Workshop, name: str, sectors: list[SectorBoundary]) -> Any:
    config = workshop.config(name)
    assert config.database.dsn is not None
    load_sectors(config.database.dsn.reveal(), sectors)
    return runtime_of(config).part("freshness_gate")


def _ours(crossed: bool, of: str) -> Any:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        shapes = workshop.shared(_shapes)
        asked = [(q.tile_id, microseconds_of(q.captured_at), NOW) for q in shapes.asked[crossed]]
        yield from_threads(getattr(shapes, of).verdict_on, asked, THREADS)

    return opened


def _strtree(crossed: bool) -> Any:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        import shapely

        shapes = workshop.shared(_shapes)
        query, limits = shapes.tree.query, shapes.limits

        def verdict(bounds: tuple[float, float, float, float], age: timedelta) -> bool:
            return any(age > limits[number] for number in query(shapely.box(*bounds), predicate="intersects"))

        asked = [(_bounds(question), NOW - question.captured_at) for question in shapes.asked[crossed]]
        yield from_threads(verdict, asked, THREADS)

    return opened


def _path(row: str, crossed: bool) -> MeasuredPath:
    return MeasuredPath(
        id=row,
        subjects=(
            Subject(name="Aerotile", role=Role.OURS, open=_ours(crossed, "gate")),
            Subject(
                name="Aerotile over boxes",
                role=Role.REFERENCE if crossed else Role.FLOOR,
                open=_ours(crossed, "gate_of_boxes"),
                note="the boxes around the polygons, on the same tiles",
            ),
            Subject(
                name="STRtree, prepared",
                role=Role.PEER,
                open=_strtree(crossed),
                needs=("shapely",),
                note="whether a rule is broken, no reasons; the box is made per query",
                at_most=Effort(blocks=10, rounds=400),
            ),
        ),
        full=Effort(blocks=10, rounds=2000),
        quick=Effort(blocks=5, rounds=2000),
    )


CLEAR = _path("P-6 clear", crossed=False)
CROSSED = _path("P-6 crossed", crossed=True)
