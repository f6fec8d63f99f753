"""`PmtilesWriter`: a PMTiles file (version 3)."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from ...domain.ports.imagery_source import TilePlace
from ...domain.ports.tile_archive import ArchiveFacts
from ...domain.values.catalogue_entries import Keys
from ..pmtiles.archive_ids import archive_ids, archive_ids_of_keys
from ..pmtiles.archive_writer import ArchiveWriter
from .partial_file import PartialFile


class PmtilesWriter:
    """See `TileArchiveWriter`. Equal tiles are written once."""

    def __init__(self, path: Path, most_tiles: int) -> None:
        """Raises `OSError`."""
        self._file = PartialFile(path)
        with ExitStack() as ending:  # what fails on a full disk ends the rest all the same
            ending.callback(self._file.close)
            self._stream = ending.enter_context(self._file.path.open("r+b"))
            self._archive = ArchiveWriter(self._stream, most_tiles, path.parent)
            ending.callback(self._archive.close)
            self._ending = ending.pop_all()

    def order(self, keys: Keys) -> npt.NDArray[np.intp]:
        """See `TileArchiveWriter`; along the Hilbert curve of each zoom."""
        return np.argsort(archive_ids_of_keys(keys))

    def add(self, place: TilePlace, pixels: bytes, sha256: bytes) -> None:
        column = [np.array([number], np.int64) for number in place]
        self._archive.add(int(archive_ids(*column)[0]), pixels, sha256)

    def finish(self, facts: ArchiveFacts) -> None:
        box = facts.bounds
        metadata = {
            "name": facts.name,
            "type": "baselayer",
            "format": "jpg",
            "description": "exported by Aerotile",
        }
        west, south, east, north = (
            round(edge * 1e7) for edge in (box.min_lon, box.min_lat, box.max_lon, box.max_lat)
        )
        self._archive.finish(json.dumps(metadata, sort_keys=True).encode("utf-8"), (west, south, east, north))
        self._stream.close()
        self._file.publish()

    def __enter__(self) -> PmtilesWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()
