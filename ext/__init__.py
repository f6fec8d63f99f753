"""The compiled hot path, reached only through this door so that import checks see the edge."""

from .catalogue import CompiledTileCatalogue
from .catalogue_matches import CompiledCatalogueMatches
from .gated_write import GatedWrite, GateRefusedError, sync_file_system
from .pixels import MappedPixels, open_beneath
from .search_hits import HitReader, is_finite_descriptor
from .tile_keys import TileKeyCodec

__all__ = [
    "CompiledCatalogueMatches",
    "CompiledTileCatalogue",
    "GateRefusedError",
    "GatedWrite",
    "HitReader",
    "MappedPixels",
    "TileKeyCodec",
    "is_finite_descriptor",
    "open_beneath",
    "sync_file_system",
]
