"""The compiled hot path, reached only through this door so that import checks see the edge."""

from .catalogue import CompiledTileCatalogue
from .catalogue_matches import CompiledCatalogueMatches
from .copy_rows import CatalogueCopy, CopyStreamError
from .gated_write import (
    GatedWrite,
    GateRefusedError,
    HashedPixels,
    hash_pixels,
    rename_all,
    sync_file_system,
    write_temporaries,
)
from .heap import trim_heap
from .kept_mappings import KeptMappings
from .pixels import MappedPixels, map_cached_tile, map_tile, open_beneath
from .reads_at_once import ReadsAtOnce
from .search_hits import HitReader, is_finite_descriptor
from .sector_grid import SectorGrid, SectorGridJudge
from .tile_bytes import opens_cached_files_at_once, read_cached_tile, read_tile, tile_is_there
from .tile_keys import TileKeyCodec
from .tile_lines import touched_lines
from .tile_walk import walk_variant

__all__ = [
    "CatalogueCopy",
    "CompiledCatalogueMatches",
    "CompiledTileCatalogue",
    "CopyStreamError",
    "GateRefusedError",
    "GatedWrite",
    "HashedPixels",
    "HitReader",
    "KeptMappings",
    "MappedPixels",
    "ReadsAtOnce",
    "SectorGrid",
    "SectorGridJudge",
    "TileKeyCodec",
    "hash_pixels",
    "is_finite_descriptor",
    "map_cached_tile",
    "map_tile",
    "open_beneath",
    "opens_cached_files_at_once",
    "read_cached_tile",
    "read_tile",
    "rename_all",
    "sync_file_system",
    "tile_is_there",
    "touched_lines",
    "trim_heap",
    "walk_variant",
    "write_temporaries",
]
