"""Who audits a store that a test breaks: reads its files and rows themselves, by no code of the product."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import psycopg
from store_facts import Audit

from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.ports.tile_store import TileStore
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource, VotingStatus

SOON_S = 120.0
"""The longest that anything may take that should happen soon: a deadline against hangs, not a measurement."""
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
TILE_BYTES = 1_000


def eventually(what: str, is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def imported(x: int) -> TileId:
    return TileId(18, x, 90_000, TileSource.IMPORTED)


def onboard(x: int) -> TileId:
    return TileId(18, x, 90_000, TileSource.ONBOARD, FLIGHT)


BASE = [imported(x) for x in range(10)]
"""Tiles that are there from the beginning."""


def pixels_of(tile_id: TileId) -> bytes:
    body = hashlib.shake_128(str(tile_id).encode()).digest(TILE_BYTES)
    return example_jpeg(body, TILE_BYTES)


def tile(tile_id: TileId) -> tuple[bytes, TileMetadata]:
    """A tile's pixels (no picture, but with a JPEG's structure) and its facts; the same for the same id."""
    pixels = pixels_of(tile_id)
    return pixels, example_metadata(
        tile_id,
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.59,
        voting_status=VotingStatus.PENDING if tile_id.source is TileSource.ONBOARD else None,
    )


class Auditor:
    """Reads rows, files, sessions and locks on a connection of its own, made anew when the server died."""

    def __init__(self, dsn: str, tiles: Path) -> None:
        self.dsn = dsn
        self._tiles = tiles

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=10) as connection:
            yield connection

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._connected() as connection:
            return list(connection.execute(query, values).fetchall())

    def audit(self) -> Audit:
        with self._connected() as connection:
            return Audit.of(connection, self._tiles)

    def left_behind(self) -> list[tuple[object, ...]]:
        """Sessions inside a transaction and advisory locks that somebody still holds, in this database."""
        return self.ask(
            """
            SELECT pid, state, query FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND state NOT IN ('idle', 'active')
            UNION ALL
            SELECT pid, mode, objid::text FROM pg_locks
            WHERE locktype = 'advisory' AND database = (
                SELECT oid FROM pg_database WHERE datname = current_database()
            )
            """
        )

    def sessions(self) -> int:
        """Clients of this database, the auditor left out."""
        ((count,),) = self.ask(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend'
                AND pid <> pg_backend_pid()
            """
        )
        return int(str(count))

    def expect_nothing_left_behind(self) -> None:
        eventually(f"still there: {self.left_behind()}", lambda: not self.left_behind())


class Reading:
    """Tiles that are read again and again, on a thread of its own, whatever happens to the database."""

    def __init__(self, store: TileStore, tile_ids: list[TileId], search: Callable[[], object]) -> None:
        self._store = store
        self._tile_ids = tile_ids
        self._search = search
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self.rounds = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> Reading:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert self.failure is None, repr(self.failure)
        assert self.rounds > 0

    def expect_progress(self) -> None:
        """Wait until everything was read twice more: no read waits for what others wait for now."""
        before = self.rounds
        eventually("nothing is read any more", lambda: self.rounds >= before + 2 or self.failure is not None)
        assert self.failure is None, repr(self.failure)

    def _read(self) -> None:
        try:
            while not self._over.wait(0.01):
                for tile_id in self._tile_ids:
                    assert self._store.tile_exists(tile_id)
                    with self._store.read_tile_pixels(tile_id) as handle:
                        assert bytes(memoryview(handle)) == pixels_of(tile_id)
                self._search()
                self.rounds += 1
        except BaseException as error:  # noqa: BLE001 # told to the test's own thread
            self.failure = error
