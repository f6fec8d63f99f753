"""The pmtiles package's writer: tiles by ascending id into one archive."""

from __future__ import annotations

from pathlib import Path

from aerotile import TileId


def write(target: Path, tiles: list[tuple[TileId, Path]]) -> None:
    """Write the tiles of these files into one archive."""
    from pmtiles.tile import Compression, TileType, zxy_to_tileid
    from pmtiles.writer import Writer

    with target.open("wb") as file:
        writer = Writer(file)
        placed = sorted((zxy_to_tileid(tile.zoom_level, tile.x, tile.y), path) for tile, path in tiles)
        for archive_id, path in placed:
            writer.write_tile(archive_id, path.read_bytes())
        zoom = tiles[0][0].zoom_level
        writer.finalize(
            {
                "tile_type": TileType.JPEG,
                "tile_compression": Compression.NONE,
                "min_zoom": zoom,
                "max_zoom": zoom,
                "min_lon_e7": -1_800_000_000,
                "min_lat_e7": -850_000_000,
                "max_lon_e7": 1_800_000_000,
                "max_lat_e7": 850_000_000,
                "center_zoom": zoom,
                "center_lon_e7": 0,
                "center_lat_e7": 0,
            },
            {},
        )
