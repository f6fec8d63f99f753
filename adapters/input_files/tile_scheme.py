"""In which order the numbers of a tile's path are, and where it follows from."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs

from ...domain.values.tile_grid import MAX_ZOOM, Bbox
from .errors import InputFileError


class TileScheme(str, Enum):
    """The meaning of the three numbers of a tile's path."""

    XYZ = "xyz"
    """Zoom, column, row from the north."""
    TMS = "tms"
    """Zoom, column, row from the south."""
    ZYX = "zyx"
    """Zoom, row from the north, column."""

    def place(self, zoom_level: int, second: int, third: int) -> tuple[int, int]:
        """Column and row (from the north) of the path's numbers, and the other way round."""
        if self is TileScheme.ZYX:
            return third, second
        if self is TileScheme.TMS and zoom_level <= MAX_ZOOM:
            return second, (1 << zoom_level) - 1 - third
        return second, third


@attrs.frozen
class FolderNote:
    """What a file beside the tiles says about all of them."""

    file: str
    """The path."""
    scheme: TileScheme | None = None
    bounds: tuple[tuple[Bbox, ...], ...] = ()
    """The ground of all tiles, each entry one way to read it; writers differ in axis order and units."""


def settle_scheme(asked: TileScheme | None, notes: Sequence[FolderNote]) -> TileScheme:
    """The scheme of a folder's tiles: the one asked for, the one noted, or XYZ.

    Raises `InputFileError` where two of these contradict each other.
    """
    said = [(note.scheme, note.file) for note in notes if note.scheme is not None]
    for scheme, file in said:
        first, first_file = said[0]
        if scheme is not first:
            raise InputFileError(
                f"{first_file} says that the tiles are in {first.value} order, {file} says {scheme.value}",
                remedy="remove the file that is wrong",
            )
        if asked not in (None, scheme):
            raise InputFileError(
                f"{file} says that the tiles are in {scheme.value} order, --scheme says {asked.value}",
                remedy="leave --scheme out, or remove the file if it is wrong",
            )
    return asked or (said[0][0] if said else TileScheme.XYZ)
