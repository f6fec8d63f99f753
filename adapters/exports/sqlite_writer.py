"""`SqliteWriter`: what the exports to SQLite files share; and the one to MBTiles (specification 1.3)."""

from __future__ import annotations

import errno
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from ...domain.ports.imagery_source import TilePlace
from ...domain.ports.tile_archive import ArchiveFacts
from ...domain.values.catalogue_entries import Keys
from .partial_file import PartialFile


class SqliteWriter(ABC):
    """See `TileArchiveWriter`."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError`."""
        with ExitStack() as ending:
            self._file = PartialFile(path)
            ending.callback(self._file.close)
            with self._errors():
                self._database = ending.enter_context(
                    closing(sqlite3.connect(self._file.path, isolation_level=None))
                )
                # The file gets its name when it is whole and synced; until then nothing of it has to last.
                self._database.execute("PRAGMA journal_mode = OFF")
                self._database.execute("PRAGMA synchronous = OFF")
                self._database.execute("BEGIN")
                self._begin()
            self._ending = ending.pop_all()

    @abstractmethod
    def _begin(self) -> None:
        """Make the tables."""

    @abstractmethod
    def _insert(self, place: TilePlace, pixels: bytes) -> None:
        """Insert a tile."""

    @abstractmethod
    def _describe(self, facts: ArchiveFacts) -> None:
        """Insert what is said of all tiles."""

    def order(self, keys: Keys) -> npt.NDArray[np.intp]:
        return np.argsort(keys)

    def add(self, place: TilePlace, pixels: bytes, sha256: bytes) -> None:
        """See `TileArchiveWriter`; the format has no digests."""
        with self._errors():
            self._insert(place, pixels)

    def finish(self, facts: ArchiveFacts) -> None:
        with self._errors():
            self._describe(facts)
            self._database.execute("COMMIT")
            self._database.close()
        self._file.publish()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as `OSError`."""
        try:
            yield
        except sqlite3.Error as error:
            number = errno.ENOSPC if "full" in str(error) else errno.EIO
            raise OSError(number, str(error), str(self._file.final)) from error

    def __enter__(self) -> SqliteWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()


class MbtilesWriter(SqliteWriter):
    """See `TileArchiveWriter`."""

    def _begin(self) -> None:
        self._database.execute("PRAGMA application_id = 0x4d504258")
        self._database.execute("CREATE TABLE metadata (name text, value text)")
        self._database.execute(
            "CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)"
        )

    def _insert(self, place: TilePlace, pixels: bytes) -> None:
        row = (1 << place.zoom_level) - 1 - place.y
        self._database.execute(
            "INSERT INTO tiles VALUES (?, ?, ?, ?)", (place.zoom_level, place.x, row, pixels)
        )

    def _describe(self, facts: ArchiveFacts) -> None:
        box = facts.bounds
        values = {
            "name": facts.name,
            "format": "jpg",
            "type": "baselayer",
            "version": "1.0",
            "description": "exported by Aerotile",
            "bounds": f"{box.min_lon},{box.min_lat},{box.max_lon},{box.max_lat}",
            "minzoom": str(facts.zooms[0]),
            "maxzoom": str(facts.zooms[-1]),
        }
        self._database.executemany("INSERT INTO metadata VALUES (?, ?)", values.items())
        self._database.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)")
