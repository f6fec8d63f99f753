"""The compiled hot path, reached only through this door so that import checks see the edge."""

from .catalogue import CompiledTileCatalogue
from .catalogue_matches import CompiledCatalogueMatches
from .copy_rows import CatalogueCopy, CopyStreamError
from .gated_write import GatedWrite, GateRefusedError, sync_file_system
from .pixels import MappedPixels, open_beneath
from .tile_keys import TileKeyCodec
from .tile_walk import walk_variant

__all__ = [
    "CatalogueCopy",
    "CompiledCatalogueMatches",
    "CompiledTileCatalogue",
    "CopyStreamError",
    "GateRefusedError",
    "GatedWrite",
    "MappedPixels",
    "TileKeyCodec",
    "open_beneath",
    "sync_file_system",
    "walk_variant",
]
