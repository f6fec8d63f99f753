"""Adapters in memory and contract suites, for tests of code that uses or implements a port of Aerotile.

The adapters need what the domain needs, attrs and numpy. A suite is imported when its name is first used, and
needs pytest and hypothesis. A test file for an adapter of one's own:

    from aerotile.testing import ClockContract

    class TestMyClock(ClockContract):
        @pytest.fixture
        def clock(self):
            return MyClock()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .adapters.memory.clock import ManualClock
from .adapters.memory.dataset_store import MemoryDatasetStore
from .adapters.memory.descriptor_index import MemoryDescriptorIndex
from .adapters.memory.descriptor_model import MemoryDescriptorModel
from .adapters.memory.example_jpeg import example_jpeg
from .adapters.memory.flight_recorder import MemoryFlightRecorder
from .adapters.memory.mapping_cache import MemoryMappingCache
from .adapters.memory.picture_decoder import MemoryPictureDecoder
from .adapters.memory.sector_index import MemorySectorIndex
from .adapters.memory.tile_catalogue import MemoryTileCatalogue
from .adapters.memory.tile_feed import MemoryTileFeed
from .adapters.memory.tile_files import MemoryTileFiles, MemoryTilePixelHandle
from .adapters.memory.tile_metadata import MemoryTileMetadataStore
from .adapters.memory.tile_rows import MemoryTileRows
from .adapters.memory.upload_queue import MemoryUploadQueue
from .adapters.memory.uploader import MemoryProvider, MemoryUploadLedger

if TYPE_CHECKING:
    from .adapters.contracts.area_search import AreaSearchContract, MakeAreaSearch
    from .adapters.contracts.clock import ClockContract
    from .adapters.contracts.dataset_store import DatasetStoreContract
    from .adapters.contracts.descriptor_index import DescriptorIndexContract, MakeDescriptorIndex
    from .adapters.contracts.descriptor_model import DescriptorModelContract, DescriptorModelSubject
    from .adapters.contracts.flight_recorder import FlightRecorderContract, FlightRecorderSubject
    from .adapters.contracts.local_reads import LocalReadsContract, LocalReadsSubject
    from .adapters.contracts.mapping_cache import MappingCacheContract, MappingCacheSubject
    from .adapters.contracts.picture_decoder import PictureDecoderContract, PictureDecoderSubject
    from .adapters.contracts.pixel_handle import OpenPixelHandle, TilePixelHandleContract
    from .adapters.contracts.sector_index import MakeSectorIndex, SectorIndexContract
    from .adapters.contracts.tile_catalogue import MakeTileCatalogue, TileCatalogueContract
    from .adapters.contracts.tile_feed import TileFeedContract, TileFeedSubject
    from .adapters.contracts.tile_files import TileFilesContract
    from .adapters.contracts.tile_judge import MakeTileJudge, TileJudgeContract
    from .adapters.contracts.tile_metadata import TileMetadataStoreContract, TileMetadataStoreSubject
    from .adapters.contracts.tile_rows import TileRowsContract, TileRowsSubject
    from .adapters.contracts.tile_store import TileStoreContract, TileStoreSubject
    from .adapters.contracts.tile_store_model import TileStoreHalves, TileStoreModelContract
    from .adapters.contracts.uploader import PendingTiles, TileUploaderContract, TileUploaderSubject

_SUITES = {
    "area_search": ("AreaSearchContract", "MakeAreaSearch"),
    "clock": ("ClockContract",),
    "dataset_store": ("DatasetStoreContract",),
    "descriptor_index": ("DescriptorIndexContract", "MakeDescriptorIndex"),
    "descriptor_model": ("DescriptorModelContract", "DescriptorModelSubject"),
    "flight_recorder": ("FlightRecorderContract", "FlightRecorderSubject"),
    "local_reads": ("LocalReadsContract", "LocalReadsSubject"),
    "mapping_cache": ("MappingCacheContract", "MappingCacheSubject"),
    "picture_decoder": ("PictureDecoderContract", "PictureDecoderSubject"),
    "pixel_handle": ("OpenPixelHandle", "TilePixelHandleContract"),
    "sector_index": ("MakeSectorIndex", "SectorIndexContract"),
    "tile_catalogue": ("MakeTileCatalogue", "TileCatalogueContract"),
    "tile_feed": ("TileFeedContract", "TileFeedSubject"),
    "tile_files": ("TileFilesContract",),
    "tile_judge": ("MakeTileJudge", "TileJudgeContract"),
    "tile_metadata": ("TileMetadataStoreContract", "TileMetadataStoreSubject"),
    "tile_rows": ("TileRowsContract", "TileRowsSubject"),
    "tile_store": ("TileStoreContract", "TileStoreSubject"),
    "tile_store_model": ("TileStoreHalves", "TileStoreModelContract"),
    "uploader": ("PendingTiles", "TileUploaderContract", "TileUploaderSubject"),
}
_SUITE_OF = {name: suite for suite, names in _SUITES.items() for name in names}

__all__ = [
    "AreaSearchContract",
    "ClockContract",
    "DatasetStoreContract",
    "DescriptorIndexContract",
    "DescriptorModelContract",
    "DescriptorModelSubject",
    "FlightRecorderContract",
    "FlightRecorderSubject",
    "LocalReadsContract",
    "LocalReadsSubject",
    "MakeAreaSearch",
    "MakeDescriptorIndex",
    "MakeSectorIndex",
    "MakeTileCatalogue",
    "MakeTileJudge",
    "ManualClock",
    "MappingCacheContract",
    "MappingCacheSubject",
    "MemoryDatasetStore",
    "MemoryDescriptorIndex",
    "MemoryDescriptorModel",
    "MemoryFlightRecorder",
    "MemoryMappingCache",
    "MemoryPictureDecoder",
    "MemoryProvider",
    "MemorySectorIndex",
    "MemoryTileCatalogue",
    "MemoryTileFeed",
    "MemoryTileFiles",
    "MemoryTileMetadataStore",
    "MemoryTilePixelHandle",
    "MemoryTileRows",
    "MemoryUploadLedger",
    "MemoryUploadQueue",
    "OpenPixelHandle",
    "PendingTiles",
    "PictureDecoderContract",
    "PictureDecoderSubject",
    "SectorIndexContract",
    "TileCatalogueContract",
    "TileFeedContract",
    "TileFeedSubject",
    "TileFilesContract",
    "TileJudgeContract",
    "TileMetadataStoreContract",
    "TileMetadataStoreSubject",
    "TilePixelHandleContract",
    "TileRowsContract",
    "TileRowsSubject",
    "TileStoreContract",
    "TileStoreHalves",
    "TileStoreModelContract",
    "TileStoreSubject",
    "TileUploaderContract",
    "TileUploaderSubject",
    "example_jpeg",
]


def __getattr__(name: str) -> Any:
    """Import a suite on its first use (PEP 562), so that the adapters need no test runner."""
    if name not in _SUITE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".adapters.contracts.{_SUITE_OF[name]}", __package__), name)
