"""A server that can be killed and paused, and a store whose catalogue a feed keeps in step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
import psycopg

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.mapping_cache import MemoryMappingCache
from aerotile.adapters.memory.store_parts import small_store_parts
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.postgres.tile_feed import TileFeed
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.store.catalogue_sync import CatalogueSync
from aerotile.domain.store.tile_store import FileBackedTileStore
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource
from aerotile.ext import CompiledTileCatalogue

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


def tile(x: int) -> TileId:
    return TileId(16, x, 0, TileSource.IMPORTED)


def described(x: int) -> TileMetadata:
    return example_metadata(tile(x), b"a" * 10, captured_at=NOW)


class Server:
    """A server of the test's own that can be killed and paused."""

    def __init__(self, folder: Path) -> None:
        from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres

        self._folder = folder
        self._embedded = EmbeddedPostgres(folder)
        self.dsn = self._embedded.start()
        apply_migrations(self.dsn)

    def execute(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def _pids(self) -> list[int]:
        postmaster = int((self._folder / "cluster" / "postmaster.pid").read_text().split("\n")[0])
        return [postmaster, *(pid for (pid,) in self.execute("SELECT pid FROM pg_stat_activity"))]

    @staticmethod
    def _signal(pids: list[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End every process of the server at once, as a cut of its power does."""
        self._signal(self._pids(), signal.SIGKILL)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No process of the server does anything."""
        pids = self._pids()
        self._signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(pids, signal.SIGCONT)

    def start(self) -> None:
        assert self._embedded.start() == self.dsn

    def stop(self) -> None:
        self._embedded.stop()

    def listeners(self) -> list[int]:
        """The sessions whose last statement was to listen."""
        return [
            pid
            for (pid,) in self.execute(
                "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN aerotile_tiles'"
            )
        ]


class HeldDatabase(Database):
    """A database to which no connection of one's own can be made while `open` is not set."""

    def __init__(self, dsn: str) -> None:
        self.open = threading.Event()
        self.open.set()
        self.refused = 0
        super().__init__(dsn, connect_timeout_s=5.0)

    def connect_once(self) -> psycopg.Connection[tuple[Any, ...]]:
        if not self.open.is_set():
            self.refused += 1
            raise StoreUnavailableError("held")
        return super().connect_once()


@attrs.frozen
class Site:
    """A store that a feed keeps true; the rows are changed behind its back."""

    server: Server
    database: HeldDatabase
    feed: TileFeed
    rows: PostgresTileRows
    files: MemoryTileFiles
    store: FileBackedTileStore

    @classmethod
    def of(cls, server: Server) -> Site:
        database, files = HeldDatabase(server.dsn), MemoryTileFiles()
        files.exists = lambda tile_id: True  # type: ignore[method-assign] # what is there is the rows' business
        clock, recorder = ManualClock(NOW), MemoryFlightRecorder()
        feed = TileFeed(database)
        rows = PostgresTileRows(database)
        sync = CatalogueSync(
            rows, files, CompiledTileCatalogue(), MemoryMappingCache(), when_unsettled=feed.wake
        )
        store = FileBackedTileStore(small_store_parts(rows, files, clock=clock, recorder=recorder, sync=sync))
        feed.follow(store)
        return cls(server, database, feed, rows, files, store)

    def commit(self, *columns: int) -> None:
        """What another process does."""
        with Database(self.server.dsn) as database:
            for x in columns:
                PostgresTileMetadataStore(database).insert_metadata(described(x))

    def remove(self, x: int) -> None:
        with Database(self.server.dsn) as database, PostgresTileRows(database).removing(tile(x)):
            pass

    def knows(self, *columns: int) -> bool:
        """Whether exactly these tiles are known."""
        return len(self.store) == len(columns) and all(self.store.tile_exists(tile(x)) for x in columns)
