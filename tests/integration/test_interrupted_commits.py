"""A signal's handler that raises while a COMMIT is waited for: what is committed keeps its files."""

from __future__ import annotations

import hashlib
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import attrs
import psycopg
import pytest
from small_store import tile
from store_facts import Audit
from waiting import until

from aerotile import AerotileConfig, DatabaseConfig, FileBackedTileStore, Secret
from aerotile.adapters.composition import Runtime
from aerotile.domain.values.tiles import TileMetadata

_WAITING_FOR_THE_COUNT = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%UPDATE disk_usage%'
"""


class AlarmError(Exception):
    """What the signal's handler raises."""


@contextmanager
def alarm_at_the_commit(dsn: str) -> Iterator[None]:
    """Interrupt this thread once a sent COMMIT waits for the count, which goes on behind the block."""

    def ring(number: int, frame: object) -> None:
        raise AlarmError

    main, over = threading.get_ident(), threading.Event()
    before = signal.signal(signal.SIGALRM, ring)
    with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as watcher:
        holder.execute("SELECT FROM disk_usage FOR UPDATE")

        def is_waiting() -> bool:
            (count,) = watcher.execute(_WAITING_FOR_THE_COUNT).fetchone() or (0,)
            return bool(count)

        def interrupt() -> None:
            until(lambda: over.is_set() or is_waiting())
            if not over.is_set():
                signal.pthread_kill(main, signal.SIGALRM)

        with ThreadPoolExecutor(1) as pool:
            interrupted = pool.submit(interrupt)
            try:
                yield
            finally:
                over.set()
                interrupted.result()
                signal.signal(signal.SIGALRM, before)
        holder.rollback()
        until(lambda: not is_waiting())


def newer(x: int) -> tuple[bytes, TileMetadata]:
    """Newer imagery of a tile, of another length: the count changes with it."""
    pixels, metadata = tile(x, 0)
    longer = pixels + b"\0"
    digest = hashlib.sha256(longer).hexdigest()
    return longer, attrs.evolve(metadata, content_sha256=digest, disk_bytes=len(longer))


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.write_tile(*tile(1, 1)),
        lambda store: store.write_tiles([tile(1, y) for y in range(20)]),
        lambda store: store.replace_tile(*newer(0)),
    ],
    ids=["write", "batch", "replacement"],
)
def test_what_is_committed_behind_an_interrupted_wait_has_its_files(
    migrated_database: str, tmp_path: Path, change: Callable[[FileBackedTileStore], object]
) -> None:
    config = AerotileConfig(root=tmp_path, database=DatabaseConfig(dsn=Secret(migrated_database)))
    with closing(Runtime(config)) as runtime:
        store = runtime.tile_store
        pixels, metadata = tile(0, 0)
        store.write_tile(pixels, attrs.evolve(metadata, captured_at=metadata.captured_at - timedelta(days=1)))
        with pytest.raises(AlarmError), alarm_at_the_commit(migrated_database):
            change(store)
    with closing(Runtime(config)) as runtime, psycopg.connect(migrated_database) as connection:
        assert len(runtime.tile_store) > 0
        Audit.of(connection, config.tiles_folder).assert_whole()
