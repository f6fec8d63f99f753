"""Areas and routes as operators name them: files of any format, boxes, and the width of a corridor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from ...domain.values.areas import Area
from ...domain.values.corridors import Corridor
from ...domain.values.counted import counted
from ...domain.values.number_texts import read_decimals
from ...domain.values.routes import Route
from ...domain.values.shapes import Shape
from ...domain.values.tile_grid import Bbox
from .errors import InputFileError
from .routes.read_drawing import FORMATS, parse_drawing, read_content, read_drawing

_CORRIDOR = "say how far to each side of the line with --corridor 5km"


@attrs.frozen
class NamedArea:
    """The ground that files and boxes name together."""

    area: Area
    """All of it."""
    left_out: Mapping[str, int]
    """By file and kind, what of the files is no ground: `plan.plan: rally point`."""


@attrs.frozen
class NamedRoute:
    """The route of a file."""

    route: Route
    lines: int
    """How many lines of the file it was joined of."""
    left_out: Mapping[str, int]
    """By kind, what of the file is no part of the route."""


def read_area(
    sources: Sequence[str | Path], *, corridor_m: float | None = None, zooms: Iterable[int] | None = None
) -> NamedArea:
    """The ground that files (`FORMATS`) and boxes (`MIN_LON,MIN_LAT,MAX_LON,MAX_LAT`) name together.

    Polygons and boxes count as they are. Around a line lies a corridor of `corridor_m` metres to each side,
    along great circles; around a single place in a file without lines and polygons, a circle. Markers beside
    lines or polygons are left out and counted. A box whose west lies east of its east crosses the
    antimeridian, and is 180 degrees wide at most. Raises `InputFileError`, also for a line or a place without
    `corridor_m` and for a corridor without either, `ValueError` for impossible numbers and without sources,
    `OSError` for an unreadable file.
    """
    shapes: list[Shape] = []
    left_out: Counter[str] = Counter()
    for source in sources:
        boxes = None if isinstance(source, Path) or Path(source).exists() else parse_boxes(source)
        if boxes is not None:
            shapes += boxes
            continue
        path = Path(source)
        found, missing = _shapes_of(path, corridor_m)
        shapes += found
        left_out.update({f"{path.name}: {kind}": number for kind, number in missing.items()})
    if corridor_m is not None and shapes and not any(isinstance(shape, Corridor) for shape in shapes):
        raise InputFileError(
            f"{', '.join(map(str, sources))}: no line there that a corridor goes along; boxes and polygons "
            "count as they are",
            remedy="leave the corridor out, or draw the polygon wider",
        )
    return NamedArea(Area(shapes, zooms), dict(left_out))


def _shapes_of(path: Path, corridor_m: float | None) -> tuple[list[Shape], Mapping[str, int]]:
    drawing = read_drawing(path)
    shapes: list[Shape] = list(drawing.shapes)
    left_out = Counter(drawing.left_out)
    only_places = not drawing.routes and not drawing.shapes
    if (drawing.routes or (only_places and drawing.places)) and corridor_m is None:
        lines, places = len(drawing.routes), len(drawing.places)
        what = counted(lines, "line") if lines else counted(places, "single place")
        raise InputFileError(f"{path} holds {what} without a width", remedy=_CORRIDOR)
    if corridor_m is not None:
        shapes += [Corridor(route.points, corridor_m) for route in drawing.routes]
        if only_places:
            shapes += [Corridor([place], corridor_m) for place in drawing.places]
    if not only_places and drawing.places:
        left_out["single place"] += len(drawing.places)
    if not shapes:
        raise InputFileError(
            f"{path} shows no ground{_in_words(left_out)}",
            remedy=f"name a file with lines or polygons: {FORMATS}",
        )
    return shapes, left_out


def read_route(path: Path) -> NamedRoute:
    """The route of a file; several lines are flown one after the other, in the order of the file.

    Raises `InputFileError` for a file without a line, `OSError` for one that can't be read.
    """
    return parse_route(read_content(path), str(path))


def parse_route(content: bytes, name: str) -> NamedRoute:
    """The route in the content of a file; see `read_route`. Errors begin with the name."""
    drawing = parse_drawing(content, name)
    left_out = Counter(drawing.left_out)
    if drawing.shapes:
        left_out["polygon"] += len(drawing.shapes)
    if drawing.places:
        left_out["single place"] += len(drawing.places)
    if not drawing.routes:
        raise InputFileError(
            f"{name} holds no line to fly along{_in_words(left_out)}",
            remedy="draw the route as a line, a GPX route or a mission of two points or more",
        )
    try:
        route = Route.joined(drawing.routes)
    except ValueError as error:
        raise InputFileError(f"{name}: {error}", remedy="correct the file") from error
    return NamedRoute(route, len(drawing.routes), dict(left_out))


def parse_boxes(text: str) -> tuple[Bbox, ...] | None:
    """The box that a text names, two across the antimeridian; None for a text of another form.

    Raises `ValueError` for numbers that are no box, and for one across the antimeridian that reaches around
    more than half of the world: west and east of another box, exchanged.
    """
    try:
        west, south, east, north = read_decimals(text, 4)
    except ValueError:
        return None
    if west > east and east >= -180.0 and west <= 180.0:
        if (width := 360.0 - (west - east)) > 180.0:
            raise ValueError(
                f"the box {text!r} begins east of its end and reaches {width:g} degrees around the world; "
                "exchange west and east, or give a box on each side of the antimeridian"
            )
        return Bbox(south, west, north, 180.0), Bbox(south, -180.0, north, east)
    return (Bbox(south, west, north, east),)


def _in_words(left_out: Mapping[str, int]) -> str:
    if not left_out:
        return ""
    return " (" + ", ".join(f"{number} x {kind}" for kind, number in left_out.items()) + ")"
