"""What a file shows on the map, whatever its format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import attrs

from ....domain.values.routes import Route
from ....domain.values.shapes import MultiPolygon, Polygon
from ....domain.values.tile_grid import Bbox, Point
from ....domain.values.timestamps import read_time

GroundShape = Bbox | Polygon | MultiPolygon


@attrs.frozen
class Drawing:
    """The lines, polygons and single places of a file, and what of it is none of these."""

    routes: tuple[Route, ...] = ()
    """Its lines, in the order of the file."""
    shapes: tuple[GroundShape, ...] = ()
    """Its polygons, holes left out."""
    places: tuple[Point, ...] = ()
    """Its single places: markers, waypoints beside a route."""
    left_out: Mapping[str, int] = attrs.field(factory=dict)
    """By kind, how much of the file is none of these."""


@attrs.define
class DrawingBuilder:
    """Collects a drawing while its file is read."""

    routes: list[Route] = attrs.field(factory=list)
    shapes: list[GroundShape] = attrs.field(factory=list)
    places: list[Point] = attrs.field(factory=list)
    left_out: Counter[str] = attrs.field(factory=Counter)

    def add_line(self, name: str, points: Sequence[Point], times: Sequence[str | None] = ()) -> None:
        """Add a line; its times count only where each point has one and none goes back."""
        if len(points) < 2:
            self.left_out["line of a single point" if points else "line without a point"] += 1
            return
        self.routes.append(Route(points, self._usable(times, len(points)), name))

    def _usable(self, texts: Sequence[str | None], points: int) -> tuple[datetime, ...]:
        written = [text for text in texts if text]
        if not written:
            return ()
        times: list[datetime] = []
        for text in written:
            try:
                times.append(read_time(text))
            except ValueError:
                break
        if len(times) == points and all(first <= second for first, second in pairwise(times)):
            return tuple(times)
        self.left_out["line's times, not all of which are there and in order"] += 1
        return ()

    def drawing(self) -> Drawing:
        """What was collected."""
        return Drawing(tuple(self.routes), tuple(self.shapes), tuple(self.places), dict(self.left_out))
