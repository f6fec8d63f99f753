"""`FetchedVersions`: the `TileVersions` in a SQLite file of the store's root folder."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ..domain.ports.imagery_source import TilePlace
from ..domain.ports.tile_versions import FetchedVersion

_log = logging.getLogger(__name__)

FETCHED_VERSIONS = "fetched-versions.sqlite"
"""The name of the file in the root folder."""
_MODE = 0o640
_TABLE = """
CREATE TABLE IF NOT EXISTS fetched_versions (
    source TEXT, zoom INTEGER, x INTEGER, y INTEGER, version TEXT, sha256 TEXT,
    PRIMARY KEY (source, zoom, x, y)
) WITHOUT ROWID
"""
_FIND = "SELECT version, sha256 FROM fetched_versions WHERE (source, zoom, x, y) = (?, ?, ?, ?)"
_NOTE = "INSERT OR REPLACE INTO fetched_versions VALUES (?, ?, ?, ?, ?, ?)"
_OTHERS_WAITED_FOR_S = 10.0


class FetchedVersions:
    """See `TileVersions`. The file is opened for each call; a damaged one is begun anew."""

    def __init__(self, root: Path) -> None:
        self._path = root / FETCHED_VERSIONS

    def find(self, source: str, places: Sequence[TilePlace]) -> Mapping[TilePlace, FetchedVersion]:
        found: dict[TilePlace, FetchedVersion] = {}
        if places and self._path.is_file():
            with self._warned(), self._opened() as database:
                for place in places:
                    row = database.execute(_FIND, (source, *place)).fetchone()
                    if row is not None:
                        found[place] = FetchedVersion(*map(str, row))
        return found

    def note(self, source: str, versions: Mapping[TilePlace, FetchedVersion]) -> None:
        """See `TileVersions`. They are durable when the call ends."""
        if versions:
            with self._warned(), self._opened() as database:
                database.executemany(_NOTE, [(source, *place, *one) for place, one in versions.items()])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        # Created here for its mode, and never through a link.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE))
        with closing(sqlite3.connect(self._path, timeout=_OTHERS_WAITED_FOR_S)) as database, database:
            database.execute(_TABLE)
            yield database

    @contextmanager
    def _warned(self) -> Iterator[None]:
        """An error of the file is logged, and ends what is done with it."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            _log.warning("%s: %s; what it lacks is fetched whole by --refresh", self._path, error)
            is_busy_or_full = isinstance(error, (sqlite3.OperationalError, OSError))
            if not is_busy_or_full:
                with suppress(OSError):
                    self._path.unlink()
