"""`FolderArchive`: a folder of tiles as an archive of pictures, JPEG and others, for a provision."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from pathlib import Path

from ...domain.errors import ImageryPlaceError, ImagerySourceError
from ...domain.ports.imagery_source import ImageryFacts, TilePlace
from ...domain.values.tile_grid import MAX_ZOOM, GridRange
from .folder_notes import read_folder_notes
from .tile_folder import PICTURE_KINDS, ChangedFileError, TileFile, count_outside, scan_tile_folder
from .tile_scheme import TileScheme, settle_scheme

_MOST_PICTURE_BYTES = 16 << 20


class FolderArchive:
    """The pictures below zoom/x/y, in the order that the notes beside them or `scheme` names.

    Memory: a path and a length for each picture.
    """

    def __init__(self, folder: Path, *, scheme: str | None = None) -> None:
        """Raises `ImagerySourceError` without a picture, `InputFileError` for notes that contradict."""
        self.name = str(folder)
        notes = read_folder_notes(folder)
        settled = settle_scheme(None if scheme is None else TileScheme(scheme), notes)
        try:
            found = scan_tile_folder(folder, (), settled, kinds=PICTURE_KINDS)
        except OSError as error:
            raise ImagerySourceError(f"{folder} can't be read: {error.strerror}") from error
        for note in notes:
            count_outside(note, found.tiles, settled)
        left_out = Counter(found.left_out)
        self._tiles: dict[TilePlace, TileFile] = {}
        for tile in found.tiles:
            last = (1 << tile.zoom_level) - 1
            if tile.zoom_level > MAX_ZOOM:
                left_out["tile beyond zoom 22"] += 1
            elif not (0 <= tile.x <= last and 0 <= tile.y <= last):
                left_out["tile off the grid"] += 1
            else:
                self._tiles[TilePlace(tile.zoom_level, tile.x, tile.y)] = tile
        for problem in found.problems:
            left_out[problem.message] += 1
        if not self._tiles:
            seen = ", ".join(f"{count} x {kind}" for kind, count in sorted(left_out.items()))
            raise ImagerySourceError(
                f"{folder} holds no tiles zoom/x/y.jpg, .png or .webp{f' ({seen})' if seen else ''}",
                remedy="name the folder that holds the zoom folders",
            )
        self._places = sorted(self._tiles)
        self.extents = _extents(self._places)
        self.facts = ImageryFacts(kind=f"folder in {settled.value} order", left_out=dict(left_out))

    def some_place(self) -> TilePlace:
        """A picture of the finest zoom."""
        return self._places[-1]

    def entries(self, within: GridRange) -> list[tuple[int, int, int]]:
        """Column, row and length of each picture within a rectangle, by column and row."""
        found = []
        for x in range(within.min_x, within.max_x + 1):
            first = bisect_left(self._places, TilePlace(within.zoom_level, x, within.min_y))
            end = bisect_left(self._places, TilePlace(within.zoom_level, x, within.max_y + 1))
            found += [(x, place.y, self._tiles[place].size) for place in self._places[first:end]]
        return found

    def read(self, place: TilePlace) -> bytes:
        """The bytes of a picture, which has the hash of its sidecar where one lies beside it."""
        tile = self._tiles[place]
        try:
            content = tile.read_pixels(_MOST_PICTURE_BYTES + 1)
            claimed = tile.claimed_sha256()
        except OSError as error:
            message, kind = f"can't be read: {error.strerror}", "unreadable"
        except ChangedFileError as error:
            message, kind = str(error), "changed while it was read"
        except ValueError as error:
            message, kind = str(error), "beside an unreadable sidecar"
        else:
            if len(content) > _MOST_PICTURE_BYTES:
                message = kind = f"larger than {_MOST_PICTURE_BYTES >> 20} MiB"
            elif claimed in (None, hashlib.sha256(content).hexdigest()):
                return content
            else:
                message, kind = "has another SHA-256 than its sidecar says", "other bytes than the sidecar's"
        raise ImageryPlaceError(f"{tile.name}: {message}", place=place, kind=kind)

    def close(self) -> None:
        """Nothing is open between two reads."""


def _extents(places: list[TilePlace]) -> dict[int, GridRange]:
    edges: dict[int, list[int]] = {}
    for zoom, x, y in places:
        known = edges.setdefault(zoom, [x, y, x, y])
        edges[zoom] = [min(known[0], x), min(known[1], y), max(known[2], x), max(known[3], y)]
    return {zoom: GridRange(zoom, *numbers) for zoom, numbers in edges.items()}
