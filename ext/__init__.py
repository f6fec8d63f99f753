"""The compiled hot path, reached only through this door so that import checks see the edge."""

from .area_rows import PlaceOrderedRows, RowSelection
from .catalogue import CompiledTileCatalogue
from .catalogue_matches import CompiledCatalogueMatches
from .copy_rows import CatalogueCopy, CopyStreamError
from .fast_reads import FastReader
from .folder_scan import walk_variant
from .freshness_grid import SectorGrid, SectorGridJudge
from .heap import trim_heap
from .mapping_cache import CompiledMappingCache
from .pixels import MappedPixels, map_cached_tile, map_tile, open_beneath
from .search_hits import HitReader, is_finite_descriptor
from .tile_bytes import opens_cached_files_at_once, read_cached_tile, read_tile, tile_is_there
from .tile_keys import TileKeyCodec
from .tile_lines import touched_lines
from .tile_write import (
    GatedWrite,
    GateRefusedError,
    HashedPixels,
    hash_pixels,
    rename_all,
    sync_file_system,
    write_temporaries,
)

__all__ = [
    "CatalogueCopy",
    "CompiledCatalogueMatches",
    "CompiledMappingCache",
    "CompiledTileCatalogue",
    "CopyStreamError",
    "FastReader",
    "GateRefusedError",
    "GatedWrite",
    "HashedPixels",
    "HitReader",
    "MappedPixels",
    "PlaceOrderedRows",
    "RowSelection",
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
