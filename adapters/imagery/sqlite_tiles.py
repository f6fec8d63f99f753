"""A table or view of tiles in an SQLite file: zoom, column, row and picture."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ...domain.errors import ImageryPlaceError, ImagerySourceError
from ...domain.ports.imagery_source import TilePlace
from ...domain.values.tile_grid import MAX_ZOOM, GridRange
from .checked_database import MOST_PICTURE_BYTES, CheckedDatabase

_EXTENTS = """
SELECT zoom_level, min(tile_column), max(tile_column), min(tile_row), max(tile_row), count(*)
FROM {tiles} GROUP BY zoom_level ORDER BY zoom_level
"""
_ENTRIES = """
SELECT tile_column, tile_row, length(tile_data) FROM {tiles}
WHERE zoom_level = ? AND tile_column BETWEEN ? AND ? AND tile_row BETWEEN ? AND ?
"""
_PICTURE = """
SELECT tile_data FROM {tiles}
WHERE zoom_level = ? AND tile_column = ? AND tile_row = ? AND length(tile_data) <= ? LIMIT 1
"""
_ONE = "SELECT zoom_level, tile_column, tile_row FROM {tiles} WHERE zoom_level = ? LIMIT 1"


@attrs.frozen
class Level:
    """Where the columns and rows of one zoom of a table lie on the grid."""

    table_zoom: int
    zoom_level: int
    first_x: int = 0
    """The grid's column of the table's column 0."""
    first_y: int = 0
    """The grid's row of the table's row 0."""
    is_from_south: bool = False
    """Whether the table's rows count northwards."""

    def x(self, column: int) -> int:
        """The grid's column."""
        return self.first_x + column

    def y(self, row: int) -> int:
        """The grid's row; the other way round too, where rows count from the south."""
        return self.first_y - row if self.is_from_south else self.first_y + row

    def row(self, y: int) -> int:
        """The table's row."""
        return self.first_y - y if self.is_from_south else y - self.first_y


class SqliteTiles:
    """The pictures of one table, placed on the grid by `level_of(zoom)`; None for a zoom of no grid."""

    def __init__(
        self, database: CheckedDatabase, tiles: str, label: str, level_of: Callable[[int], Level | None]
    ) -> None:
        """Raises `ImagerySourceError` for values that are no places of the grid, and for no tiles."""
        self._database = database
        self._tiles = tiles
        self._label = label
        self.extents: dict[int, GridRange] = {}
        self.off_zooms = 0
        """Tiles at zooms that the grid does not have."""
        self._levels: dict[int, Level] = {}
        for row in database.rows(_EXTENTS.format(tiles=tiles)):
            if not all(type(value) is int for value in row):
                shown = next(value for value in row if type(value) is not int)
                raise self._error(f"holds {shown!r:.60} where a zoom, column or row belongs")
            zoom, min_column, max_column, min_row, max_row, count = row
            if zoom > MAX_ZOOM:
                self.off_zooms += count
                continue
            level = level_of(zoom)
            if level is None:
                raise self._error(f"holds tiles at zoom {zoom}, which is none of the grid")
            rows = sorted((level.y(min_row), level.y(max_row)))
            columns = (level.x(min_column), level.x(max_column))
            last = (1 << level.zoom_level) - 1
            if min(columns[0], rows[0]) < 0 or max(columns[1], rows[1]) > last:
                raise self._error(
                    f"holds columns {min_column}..{max_column} and rows {min_row}..{max_row} at zoom {zoom}, "
                    f"which has {last + 1} of each"
                )
            self.extents[level.zoom_level] = GridRange(
                level.zoom_level, columns[0], rows[0], columns[1], rows[1]
            )
            self._levels[level.zoom_level] = level
        if not self.extents:
            raise self._error("holds no tiles")

    def _error(self, message: str) -> ImagerySourceError:
        return ImagerySourceError(f"{self._label} {message}", remedy="write the archive again")

    def some_place(self) -> TilePlace:
        """A tile of the finest zoom."""
        level = self._levels[max(self._levels)]
        rows = self._database.rows(_ONE.format(tiles=self._tiles), (level.table_zoom,))
        if not rows:
            raise self._error(f"holds no tile at zoom {level.table_zoom}, which it lists")
        _, column, row = rows[0]
        return TilePlace(level.zoom_level, level.x(column), level.y(row))

    def entries(self, within: GridRange) -> list[tuple[int, int, int]]:
        """See `TileArchive`."""
        level = self._levels.get(within.zoom_level)
        if level is None:
            return []
        rows = sorted((level.row(within.min_y), level.row(within.max_y)))
        found = self._database.rows(
            _ENTRIES.format(tiles=self._tiles),
            (level.table_zoom, within.min_x - level.first_x, within.max_x - level.first_x, *rows),
        )
        places: dict[tuple[int, int], int] = {}
        for column, row, length in found:
            if type(column) is not int or type(row) is not int:
                raise self._error(f"holds {column!r:.60}, {row!r:.60} where a column and a row belong")
            place = (level.x(column), level.y(row))
            if place in places:
                raise self._error(f"holds the tile {within.zoom_level}/{place[0]}/{place[1]} twice")
            places[place] = length if isinstance(length, int) else 0
        return [(x, y, length) for (x, y), length in sorted(places.items())]

    def read(self, place: TilePlace) -> bytes:
        """See `TileArchive`."""
        level = self._levels[place.zoom_level]
        rows = self._database.rows(
            _PICTURE.format(tiles=self._tiles),
            (level.table_zoom, place.x - level.first_x, level.row(place.y), MOST_PICTURE_BYTES),
        )
        picture = rows[0][0] if rows else None
        if isinstance(picture, bytes):
            return picture
        kind = "a text, not a picture" if rows else f"empty or larger than {MOST_PICTURE_BYTES >> 20} MiB"
        raise ImageryPlaceError(f"{self._label}: {place} is {kind}", place=place, kind=kind)


class SqliteArchive:
    """The calls of a `TileArchive` in SQLite. A subclass opens the database and finds its tiles."""

    _database: CheckedDatabase
    _tiles: SqliteTiles

    def some_place(self) -> TilePlace:
        return self._tiles.some_place()

    def entries(self, within: GridRange) -> list[tuple[int, int, int]]:
        return self._tiles.entries(within)

    def read(self, place: TilePlace) -> bytes:
        return self._tiles.read(place)

    def close(self) -> None:
        self._database.close()
