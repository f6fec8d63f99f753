"""Stores of many tiles in little time: real rows, and files that are hard links to a few.

The tiles of a row on the grid are one file with 1,000 names (ext4 allows 65,000), so each tile has its file
and a sidecar that is right. Rows come in by COPY without triggers, which is how a restored database comes in.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
import psycopg

from aerotile import AerotileConfig
from aerotile.adapters.composition import Runtime

from .bare_rows import COLUMNS, copy_rows, row_values
from .dataset import FIRST_X, FIRST_Y, ZOOM, metadata_of, tile_id, tile_pixels
from .workshop import FilledStore, Workshop

COLUMNS_OF_TILES = 1000
_COPY = f"COPY tiles ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"
_MODE = 0o440


@contextmanager
def linked_store(workshop: Workshop, size: int) -> Iterator[FilledStore]:
    """An open store of `size` tiles, columns first: tile `number` is `dataset.tile_id(number)`."""
    with Runtime(linked_config(workshop, size)) as runtime:
        yield FilledStore(config=runtime.config, runtime=runtime, store=runtime.part("tile_store"))


def linked_config(workshop: Workshop, size: int) -> AerotileConfig:
    """The configuration of a store of `size` tiles that is not open; made once per run."""
    made = workshop.linked_stores.get(size)
    if made is None:
        made = workshop.linked_stores[size] = _build(workshop, size)
    return made


def _build(workshop: Workshop, size: int) -> AerotileConfig:
    config = workshop.config(f"linked {size}")
    with Runtime(config) as runtime:
        runtime.part("tile_store")  # claims the folder for the database
    content = [_content(workshop, row) for row in range(-(-size // COLUMNS_OF_TILES))]
    _link(config.tiles_folder, content, size)
    _load_rows(config, content, size)
    return config


@attrs.frozen
class _Content:
    """What all tiles of one row share."""

    tile: Path
    sidecar: Path
    pixels: bytes


def _content(workshop: Workshop, row: int) -> _Content:
    folder = workshop.path("linked-content")
    folder.mkdir(exist_ok=True)
    content = _Content(folder / f"{row}.jpg", folder / f"{row}.sha256", tile_pixels(row))
    if not content.tile.exists():
        line = f"{hashlib.sha256(content.pixels).hexdigest()}  {FIRST_Y + row}.jpg\n"
        for path, text in ((content.tile, content.pixels), (content.sidecar, line.encode())):
            path.write_bytes(text)
            path.chmod(_MODE)
    return content


def _link(tiles_folder: Path, content: list[_Content], size: int) -> None:
    source = tile_id(0).source.value
    for column in range(min(size, COLUMNS_OF_TILES)):
        folder = tiles_folder / source / str(ZOOM) / str(FIRST_X + column)
        folder.mkdir(parents=True, exist_ok=True)
        rows = -(-(size - column) // COLUMNS_OF_TILES)
        for row in range(rows):
            name = f"{folder}/{FIRST_Y + row}.jpg"
            os.link(content[row].tile, name)
            os.link(content[row].sidecar, name + ".sha256")


def _load_rows(config: AerotileConfig, content: list[_Content], size: int) -> None:
    now = datetime.now(timezone.utc)
    dsn = config.database.dsn
    assert dsn is not None
    facts = [metadata_of(tile_id(0), each.pixels) for each in content]

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(size):
            shared = facts[number // COLUMNS_OF_TILES]
            yield row_values(attrs.evolve(shared, tile_id=tile_id(number)), now)

    with psycopg.connect(dsn.reveal(), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        copy_rows(connection, rows(), _COPY)
        connection.execute(
            """
            UPDATE disk_usage SET (total_bytes, footprint_bytes) = (
                SELECT sum(disk_bytes), sum((disk_bytes + 4095) / 4096 * 4096 + 4608) FROM tiles
            )
            """
        )
        connection.execute("VACUUM (ANALYZE) tiles")
