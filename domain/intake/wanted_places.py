"""Which places of the grid a provision asks its sources for, in squares that a source lists at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from ..errors import ImagerySourceError
from ..values.areas import Area, merged_spans
from ..values.corridors import RowSpans
from ..values.shapes import latitudes_of
from ..values.tile_grid import MAX_LATITUDE, GridRange, column_and_row

SQUARE = 64
"""Columns and rows of the largest squares."""
MOST_ROWS = 1 << 20
"""Rows of tiles that the shapes of an area may have at one zoom."""


@attrs.frozen(eq=False)
class WantedSquare:
    """At most `SQUARE` columns and rows of one zoom, and which of the places in them are wanted."""

    within: GridRange
    mask: npt.NDArray[np.bool_] | None
    """By row and column; None for all."""

    def holds(self, x: int, y: int) -> bool:
        """Whether the place, which lies within, is wanted."""
        return self.mask is None or bool(self.mask[y - self.within.min_y, x - self.within.min_x])


@attrs.frozen(eq=False)
class WantedZoom:
    """The places of one zoom: those of an area, or all. Memory: the area's rows."""

    zoom_level: int
    spans: RowSpans | None
    """None: everywhere."""

    @classmethod
    def of(cls, area: Area | None, zoom_level: int) -> WantedZoom:
        """Raises `ImagerySourceError` for an area of more rows than can be kept."""
        if area is None:
            return cls(zoom_level, None)
        rows = sum(_rows_of(latitudes_of(shape), zoom_level) for shape in area.shapes)
        if rows > MOST_ROWS:
            raise ImagerySourceError(
                f"the area has {rows} rows of tiles at zoom {zoom_level}, more than {MOST_ROWS}",
                remedy="name a smaller area or coarser zooms; without an area all imagery is taken",
            )
        return cls(zoom_level, merged_spans(area, zoom_level))

    @property
    def count(self) -> int | None:
        """How many places are wanted; None where no area bounds them."""
        return None if self.spans is None else self.spans.tiles

    def squares(self, extents: Sequence[GridRange], side: int = SQUARE) -> Iterator[WantedSquare]:
        """The squares that hold wanted places and touch an extent, from north to south and west to east.

        Each has `side` columns and rows, fewer at the edge of the grid.
        """
        if not extents:
            return
        first = min(extent.min_y for extent in extents) // side
        last = max(extent.max_y for extent in extents) // side
        for band in self._bands(first, last, side):
            columns = sorted(
                {
                    column
                    for extent in extents
                    if extent.min_y // side <= band <= extent.max_y // side
                    for low, high in self._columns(band, side)
                    for column in range(max(low, extent.min_x) // side, min(high, extent.max_x) // side + 1)
                }
            )
            for column in columns:
                yield self._square(column, band, side)

    def _bands(self, first: int, last: int, side: int) -> Iterator[int]:
        if self.spans is None:
            yield from range(first, last + 1)
            return
        yield from (int(band) for band in np.unique(self.spans.y // side) if first <= band <= last)

    def _rows(self, band: int, side: int) -> slice:
        assert self.spans is not None
        low, high = np.searchsorted(self.spans.y, [band * side, (band + 1) * side])
        return slice(int(low), int(high))

    def _columns(self, band: int, side: int) -> list[tuple[int, int]]:
        if self.spans is None:
            return [(0, (1 << self.zoom_level) - 1)]
        rows = self._rows(band, side)
        pairs = np.unique(np.stack([self.spans.min_x[rows], self.spans.max_x[rows]], 1), axis=0)
        return [(low, high) for low, high in pairs.tolist()]

    def _square(self, column: int, band: int, side: int) -> WantedSquare:
        last = (1 << self.zoom_level) - 1
        min_x, min_y = column * side, band * side
        max_x, max_y = min(min_x + side - 1, last), min(min_y + side - 1, last)
        within = GridRange(self.zoom_level, min_x, min_y, max_x, max_y)
        if self.spans is None:
            return WantedSquare(within, None)
        mask = np.zeros((max_y - min_y + 1, max_x - min_x + 1), np.bool_)
        rows = self._rows(band, side)
        for y, low, high in zip(
            self.spans.y[rows].tolist(),
            self.spans.min_x[rows].tolist(),
            self.spans.max_x[rows].tolist(),
            strict=True,
        ):
            if low <= max_x and high >= min_x:
                mask[y - min_y, max(low - min_x, 0) : high - min_x + 1] = True
        return WantedSquare(within, mask)


def _rows_of(latitudes: tuple[float, float], zoom_level: int) -> int:
    south, north = (max(-MAX_LATITUDE, min(MAX_LATITUDE, edge)) for edge in latitudes)
    return column_and_row(south, 0.0, zoom_level)[1] - column_and_row(north, 0.0, zoom_level)[1] + 1
