"""`export_tiles`: copy tiles of a store into an archive for other programs, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from .choose_tiles import ChosenTiles, refuse_twins
from .errors import ContentHashMismatchError
from .ports.imagery_source import TilePlace
from .ports.tile_archive import ArchiveFacts, TileArchiveWriter
from .values.tile_grid import Bbox
from .values.tiles import TileId


def export_tiles(
    chosen: ChosenTiles,
    read_bytes: Callable[[TileId], bytes],
    writer: TileArchiveWriter,
    *,
    name: str,
    tile_size_pixels: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the tiles into the archive, which is durable under its name when this returns.

    Each tile has the digest that the store committed: one that differs ends the export, and so does an error.
    Then there is no archive. Needs at least one tile; two of one place are refused. Raises
    `ContentHashMismatchError`, `TileMetadataError`, `TileNotFoundError`, `StoreUnavailableError`, `OSError`.
    """
    with writer:
        refuse_twins(chosen)
        order = writer.order(chosen.columns.keys)
        for done, position in enumerate(order.tolist(), 1):
            tile_id = chosen.tile_id(position)
            pixels, digest = read_bytes(tile_id), chosen.sha256(position)
            actual = hashlib.sha256(pixels).digest()
            if actual != digest:
                raise ContentHashMismatchError(
                    "SHA-256", expected=digest.hex(), actual=actual.hex(), tile_id=tile_id
                )
            writer.add(TilePlace(tile_id.zoom_level, tile_id.x, tile_id.y), pixels, digest)
            progress(done, len(chosen))
        writer.finish(_facts(chosen, name, tile_size_pixels))


def _facts(chosen: ChosenTiles, name: str, tile_size_pixels: int) -> ArchiveFacts:
    coverage = chosen.coverage()
    boxes = [box for one in coverage for box in one.boxes]
    bounds = Bbox(
        min(box.min_lat for box in boxes),
        min(box.min_lon for box in boxes),
        max(box.max_lat for box in boxes),
        max(box.max_lon for box in boxes),
    )
    return ArchiveFacts(
        name=name,
        bounds=bounds,
        zooms=tuple(one.zoom_level for one in coverage),
        tile_size_pixels=tile_size_pixels,
    )
