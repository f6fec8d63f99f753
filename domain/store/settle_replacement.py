"""The last step of a replacement: the file that the row names gets the tile's own name.

Every process that finds a committed replacement without it may take it: the writer itself, another process
that reads the tile, an open or a check after a crash. The second one finds nothing left to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.tiles import TileId, TileMetadataPersistent


def settle_replacement(rows: TileRows, files: TileFiles, tile_id: TileId) -> TileMetadataPersistent | None:
    """Have the tile's file be the one that its row names; returns the row, None when it is gone.

    Does nothing to a tile that is settled. Raises `StoreUnavailableError`; then it can be repeated.
    """
    with settled(rows, files, tile_id) as row:
        return row


@contextmanager
def settled(rows: TileRows, files: TileFiles, tile_id: TileId) -> Iterator[TileMetadataPersistent | None]:
    """The same as a context, in which no process removes or replaces the tile's file."""
    with rows.settling(tile_id) as row:
        if row is not None:
            files.take_place(tile_id, row.content_sha256)
        yield row
