"""P-6: the freshness verdict on a tile among 10,000 sectors, from four threads at once.

Peers are given the tile's box, made outside the timing, and answer which decision it is; ours and the floor
start from the tile's id.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from harness.floors import running
from harness.operations import Operation, Samples, Unavailable
from harness.sectors import NOW, load_sectors, questions, sectors
from harness.subjects import Effort, GrowthCurve, MeasuredPath, Role, Subject
from harness.threads import from_threads
from harness.workshop import Workshop

from aerotile import SectorClassification
from aerotile.adapters.composition import runtime_of

THREADS = 4
_QUESTIONS = 8192
GREATEST_AGES = {
    SectorClassification.ACTIVE_CONFLICT: timedelta(days=180),
    SectorClassification.STABLE_REAR: timedelta(days=365),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def microseconds_of(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


@contextmanager
def _verdicts(workshop: Workshop, count: int) -> Iterator[Operation]:
    """The gate as composed, over sectors that it read from the database."""
    config = workshop.config(f"sectors {count}")
    dsn = config.database.dsn
    assert dsn is not None
    load_sectors(dsn.reveal(), sectors(count))
    gate: Any = runtime_of(config).part("freshness_gate")
    if not hasattr(gate, "verdict_on"):
        raise Unavailable("this version has no verdict_on")
    asked = [
        (question.tile_id, microseconds_of(question.captured_at), NOW) for question in questions(_QUESTIONS)
    ]
    yield from_threads(gate.verdict_on, asked, THREADS)


@contextmanager
def _ours(workshop: Workshop) -> Iterator[Operation]:
    with _verdicts(workshop, workshop.sizes.sectors) as operation:
        yield operation


@contextmanager
def _floor(workshop: Workshop) -> Iterator[Samples]:
    listed: Path = workshop.path("sectors.txt")
    listed.write_text(
        "".join(
            f"{s.bbox.min_lat!r} {s.bbox.min_lon!r} {s.bbox.max_lat!r} {s.bbox.max_lon!r} "
            f"{int(s.classification is SectorClassification.ACTIVE_CONFLICT)}\n"
            for s in sectors(workshop.sizes.sectors)
        ),
        encoding="ascii",
    )
    asked = workshop.path("questions.txt")
    asked.write_text(
        "".join(
            f"{q.tile_id.zoom_level} {q.tile_id.x} {q.tile_id.y} {(NOW - q.captured_at) // _MICROSECOND}\n"
            for q in questions(_QUESTIONS)
        ),
        encoding="ascii",
    )
    ages = [age // _MICROSECOND for age in GREATEST_AGES.values()]
    with running(workshop.floors.program("sector_grid"), listed, asked, *ages) as floor:
        yield floor


def _decision(found: Any, active: Any, age: timedelta) -> int:
    """The strictest decision of the sectors that were found by number."""
    strictest = 0
    for number in found:
        if active[number]:
            if age > GREATEST_AGES[SectorClassification.ACTIVE_CONFLICT]:
                return 2
        elif age > GREATEST_AGES[SectorClassification.STABLE_REAR]:
            strictest = 1
    return strictest


@contextmanager
def _rtree(workshop: Workshop) -> Iterator[Operation]:
    from rtree import index

    boundaries = sectors(workshop.sizes.sectors)
    active = [sector.classification is SectorClassification.ACTIVE_CONFLICT for sector in boundaries]
    entries = (
        (n, (s.bbox.min_lon, s.bbox.min_lat, s.bbox.max_lon, s.bbox.max_lat), None)
        for n, s in enumerate(boundaries)
    )
    tree = index.Index(entries, properties=index.Property(leaf_capacity=16, index_capacity=16))
    lock = threading.Lock()

    def verdict(box: tuple[float, float, float, float], age: timedelta) -> int:
        with lock:
            found = list(tree.intersection(box))
        return _decision(found, active, age)

    asked = []
    for question in questions(_QUESTIONS):
        box = question.tile_id.bbox
        bounds = (box.min_lon, box.min_lat, box.max_lon, box.max_lat)
        asked.append((bounds, NOW - question.captured_at))
    yield from_threads(verdict, asked, THREADS)


@contextmanager
def _strtree(workshop: Workshop) -> Iterator[Operation]:
    import shapely

    boundaries = sectors(workshop.sizes.sectors)
    active = [sector.classification is SectorClassification.ACTIVE_CONFLICT for sector in boundaries]
    boxes = [shapely.box(s.bbox.min_lon, s.bbox.min_lat, s.bbox.max_lon, s.bbox.max_lat) for s in boundaries]
    tree = shapely.STRtree(boxes)

    def verdict(bounds: tuple[float, float, float, float], age: timedelta) -> int:
        return _decision(tree.query(shapely.box(*bounds)), active, age)

    asked = []
    for question in questions(_QUESTIONS):
        box = question.tile_id.bbox
        asked.append(((box.min_lon, box.min_lat, box.max_lon, box.max_lat), NOW - question.captured_at))
    yield from_threads(verdict, asked, THREADS)


VERDICT = MeasuredPath(
    id="P-6",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_ours),
        Subject(
            name="C grid",
            role=Role.FLOOR,
            open=_floor,
            note="the whole verdict in C, no object is made, no interpreter's lock is taken",
        ),
        Subject(
            name="rtree",
            role=Role.PEER,
            open=_rtree,
            needs=("rtree",),
            note="behind a lock, for it is not thread-safe; capacity 16; a number, no reasons",
        ),
        Subject(
            name="STRtree",
            role=Role.PEER,
            open=_strtree,
            needs=("shapely",),
            note="a number, no reasons; the box is made per query",
        ),
    ),
    full=Effort(blocks=10, rounds=2000),
    quick=Effort(blocks=5, rounds=400),
)

GROWTH = GrowthCurve(
    id="P-6",
    of="sectors",
    sizes=(1_000, 10_000, 100_000, 1_000_000),
    open=_verdicts,
    rounds=8_000,
    quick_rounds=2_000,
)
