"""The compiled hot path. Other packages import from here only, so that import checks see the arrow."""

from .area_rows import PlaceOrderedRows, RowSelection
from .awaited_insert import AwaitedInsert, Libpq
from .catalogue import CompiledTileCatalogue
from .catalogue_copy import CatalogueCopy, CopyStreamError
from .catalogue_matches import CompiledCatalogueMatches
from .fast_reads import FastReader
from .folder_scan import walk_variant
from .freshness_grid import SectorGrid, SectorGridJudge
from .grid_lines import touched_lines
from .jpeg_walk import walk_jpeg
from .mapped_pixels import MappedPixels, map_cached_tile, map_file, map_tile, open_beneath
from .mapping_cache import CompiledMappingCache
from .new_rows import copy_rows, new_rows
from .pixel_hashes import HashedPixels, hash_pixels
from .query_check import are_within
from .sealed_tiles import FACTS_ROW_BYTES, SealedTiles
from .sector_cells import narrowed
from .socket_waits import await_burst, await_readable, holds_whole_answer, is_readable
from .tile_keys import TileKeyCodec
from .tile_reads import opens_cached_files_at_once, read_cached_tile, read_hashed, read_tile, tile_is_there
from .tile_write import (
    GatedWrite,
    GateRefusedError,
    add_sidecars,
    rename_all,
    sync_file_system,
    write_temporaries,
)

__all__ = [
    "FACTS_ROW_BYTES",
    "AwaitedInsert",
    "CatalogueCopy",
    "CompiledCatalogueMatches",
    "CompiledMappingCache",
    "CompiledTileCatalogue",
    "CopyStreamError",
    "FastReader",
    "GateRefusedError",
    "GatedWrite",
    "HashedPixels",
    "Libpq",
    "MappedPixels",
    "PlaceOrderedRows",
    "RowSelection",
    "SealedTiles",
    "SectorGrid",
    "SectorGridJudge",
    "TileKeyCodec",
    "add_sidecars",
    "are_within",
    "await_burst",
    "await_readable",
    "copy_rows",
    "hash_pixels",
    "holds_whole_answer",
    "is_readable",
    "map_cached_tile",
    "map_file",
    "map_tile",
    "narrowed",
    "new_rows",
    "open_beneath",
    "opens_cached_files_at_once",
    "read_cached_tile",
    "read_hashed",
    "read_tile",
    "rename_all",
    "sync_file_system",
    "tile_is_there",
    "touched_lines",
    "walk_jpeg",
    "walk_variant",
    "write_temporaries",
]
