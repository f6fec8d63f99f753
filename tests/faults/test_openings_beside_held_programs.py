"""A program stands before each system call of a change while another opens the store or writes the tile.

TEST_KILLS sets how often (default 10); `all`: once before every call.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from datetime import datetime, timezone

import pytest
from killed_store import KilledStore
from nursery import EVERY_CALL, moments
from psycopg.conninfo import make_conninfo
from store_sessions import BESIDE

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import DuplicateTileError
from aerotile.domain.store.recovery import reconcile
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if EVERY_CALL else 300)]


@pytest.mark.parametrize("operation", ["write", "batch", "delete"])
def test_an_opening_takes_nothing_from_a_program_that_stands_before_any_call_of_a_change(
    make_killed_store: Callable[[str], KilledStore], migrated_database: str, operation: str
) -> None:
    store = make_killed_store(f"opening beside a stopped program: {operation}")
    for number in moments(store.longest_calls(operation), store.chance):
        with (
            store.held_at(operation, number),
            closing(Database(make_conninfo(migrated_database, application_name=BESIDE))) as database,
            closing(FilesystemTileFiles(store.tiles)) as files,
        ):
            reconcile(
                PostgresTileRows(database),
                files,
                MemoryTileCatalogue(),
                now=datetime.now(timezone.utc),
                lock_timeout_s=0.05,
            )
    store.finish()
    assert store.kills > 0


def tile_anew(name: str) -> tuple[bytes, TileMetadata]:
    """Other content for a tile, by its path."""
    _, *place = name.split("/")
    zoom_level, x, y = map(int, place)
    pixels = example_jpeg(name.encode())
    return pixels, example_metadata(
        TileId(zoom_level, x, y, TileSource.IMPORTED),
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.15,
    )


def test_a_tile_that_is_written_anew_while_its_delete_stands_before_any_call_is_there_and_whole(
    make_killed_store: Callable[..., KilledStore], migrated_database: str
) -> None:
    store = make_killed_store("write beside a stopped delete")
    dsn = Secret(make_conninfo(migrated_database, application_name=BESIDE))
    config = AerotileConfig(root=store.root, database=DatabaseConfig(dsn=dsn))
    written = 0
    with Runtime(config) as runtime, ThreadPoolExecutor(1) as beside:
        for number in moments(store.longest_calls("delete"), store.chance):
            with store.held_at("delete", number) as will:
                pixels, metadata = tile_anew(*will)
                writing = beside.submit(runtime.tile_store.write_tile, pixels, metadata)
                wait([writing], timeout=0.1)  # long enough for one that nothing keeps waiting
            try:
                writing.result()
            except DuplicateTileError:  # the delete had not begun
                continue
            store.confirm({str(metadata.tile_id): metadata.content_sha256})
            written += 1
        store.finish()
    assert written > 0
