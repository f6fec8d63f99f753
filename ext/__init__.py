"""The compiled hot path, reached only through this door so that import checks see the edge."""

from .catalogue import CompiledTileCatalogue
from .catalogue_matches import CompiledCatalogueMatches
from .gated_write import GatedWrite, GateRefusedError, sync_file_system
from .kept_mappings import KeptMappings
from .pixels import MappedPixels, map_cached_tile, map_tile, open_beneath
from .tile_bytes import opens_cached_files_at_once, read_cached_tile, read_tile, tile_is_there
from .tile_keys import TileKeyCodec

__all__ = [
    "CompiledCatalogueMatches",
    "CompiledTileCatalogue",
    "GateRefusedError",
    "GatedWrite",
    "KeptMappings",
    "MappedPixels",
    "TileKeyCodec",
    "map_cached_tile",
    "map_tile",
    "open_beneath",
    "opens_cached_files_at_once",
    "read_cached_tile",
    "read_tile",
    "sync_file_system",
    "tile_is_there",
]
