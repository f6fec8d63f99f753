"""Aerotile: the onboard map-tile cache for aircraft that navigate by sight.

The public names, each imported from its module when it is first used, so that `import aerotile.domain` brings
no driver and no compiled code along.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters.composition import (
        apply_migrations,
        build_descriptor_index,
        build_tile_metadata_store,
        build_tile_store,
        build_tile_uploader,
    )
    from .adapters.config import AerotileConfig
    from .adapters.config_loader import load_config
    from .domain.descriptors import DescriptorMetric, HnswParams, IndexMetadata, SearchHit, VectorStorage
    from .domain.errors import (
        AerotileError,
        CacheBudgetExhaustedError,
        CaptureTimeInFutureError,
        ConfigurationError,
        ContentHashMismatchError,
        DuplicateTileError,
        FreshnessRejectionError,
        IndexBuildError,
        IndexUnavailableError,
        RuntimeNotAvailableError,
        StoreUnavailableError,
        TileCacheError,
        TileMetadataError,
        TileNotFoundError,
    )
    from .domain.find_tiles import FoundTile, find_tiles
    from .domain.identity import derive_location_hash, derive_tile_id
    from .domain.ports import (
        Clock,
        DescriptorIndex,
        FlightRecorder,
        SectorIndex,
        SupportsBboxQuery,
        SupportsBulkWrite,
        SupportsEviction,
        SupportsHeadroom,
        SupportsJudging,
        SupportsVerdict,
        TileJudge,
        TileMetadataStore,
        TilePixelHandle,
        TileStore,
        TileUploader,
    )
    from .domain.records import FlightEvent, RecordEnvelope
    from .domain.sectors import FreshnessRule, SectorBoundary, SectorClassification
    from .domain.tile_grid import Bbox, GridRange, ground_sample_distance
    from .domain.tile_key import VariantTable, decode_tile_key, encode_tile_key
    from .domain.tiles import (
        FreshnessLabel,
        TileId,
        TileMetadata,
        TileMetadataPersistent,
        TileQualityMetadata,
        TileSource,
        VotingStatus,
    )
    from .domain.upload import (
        BatchOutcome,
        BatchProgress,
        TileUploadOutcome,
        TileUploadResult,
        UploadBatchReport,
        UploadProblem,
        UploadReason,
        UploadRequest,
    )
    from .domain.write_tiles import TileWriteOutcome

_NAMES_BY_MODULE = {
    ".adapters.composition": (
        "apply_migrations",
        "build_descriptor_index",
        "build_tile_metadata_store",
        "build_tile_store",
        "build_tile_uploader",
    ),
    ".adapters.config": ("AerotileConfig",),
    ".adapters.config_loader": ("load_config",),
    ".domain.descriptors": (
        "DescriptorMetric",
        "HnswParams",
        "IndexMetadata",
        "SearchHit",
        "VectorStorage",
    ),
    ".domain.errors": (
        "AerotileError",
        "CacheBudgetExhaustedError",
        "CaptureTimeInFutureError",
        "ConfigurationError",
        "ContentHashMismatchError",
        "DuplicateTileError",
        "FreshnessRejectionError",
        "IndexBuildError",
        "IndexUnavailableError",
        "RuntimeNotAvailableError",
        "StoreUnavailableError",
        "TileCacheError",
        "TileMetadataError",
        "TileNotFoundError",
    ),
    ".domain.find_tiles": ("FoundTile", "find_tiles"),
    ".domain.identity": ("derive_location_hash", "derive_tile_id"),
    ".domain.ports": (
        "Clock",
        "DescriptorIndex",
        "FlightRecorder",
        "SectorIndex",
        "SupportsBboxQuery",
        "SupportsBulkWrite",
        "SupportsEviction",
        "SupportsHeadroom",
        "SupportsJudging",
        "SupportsVerdict",
        "TileJudge",
        "TileMetadataStore",
        "TilePixelHandle",
        "TileStore",
        "TileUploader",
    ),
    ".domain.records": ("FlightEvent", "RecordEnvelope"),
    ".domain.sectors": ("FreshnessRule", "SectorBoundary", "SectorClassification"),
    ".domain.tile_grid": ("Bbox", "GridRange", "ground_sample_distance"),
    ".domain.tile_key": ("VariantTable", "decode_tile_key", "encode_tile_key"),
    ".domain.tiles": (
        "FreshnessLabel",
        "TileId",
        "TileMetadata",
        "TileMetadataPersistent",
        "TileQualityMetadata",
        "TileSource",
        "VotingStatus",
    ),
    ".domain.upload": (
        "BatchOutcome",
        "BatchProgress",
        "TileUploadOutcome",
        "TileUploadResult",
        "UploadBatchReport",
        "UploadProblem",
        "UploadReason",
        "UploadRequest",
    ),
    ".domain.write_tiles": ("TileWriteOutcome",),
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [
    "AerotileConfig",
    "AerotileError",
    "BatchOutcome",
    "BatchProgress",
    "Bbox",
    "CacheBudgetExhaustedError",
    "CaptureTimeInFutureError",
    "Clock",
    "ConfigurationError",
    "ContentHashMismatchError",
    "DescriptorIndex",
    "DescriptorMetric",
    "DuplicateTileError",
    "FlightEvent",
    "FlightRecorder",
    "FoundTile",
    "FreshnessLabel",
    "FreshnessRejectionError",
    "FreshnessRule",
    "GridRange",
    "HnswParams",
    "IndexBuildError",
    "IndexMetadata",
    "IndexUnavailableError",
    "RecordEnvelope",
    "RuntimeNotAvailableError",
    "SearchHit",
    "SectorBoundary",
    "SectorClassification",
    "SectorIndex",
    "StoreUnavailableError",
    "SupportsBboxQuery",
    "SupportsBulkWrite",
    "SupportsEviction",
    "SupportsHeadroom",
    "SupportsJudging",
    "SupportsVerdict",
    "TileCacheError",
    "TileId",
    "TileJudge",
    "TileMetadata",
    "TileMetadataError",
    "TileMetadataPersistent",
    "TileMetadataStore",
    "TileNotFoundError",
    "TilePixelHandle",
    "TileQualityMetadata",
    "TileSource",
    "TileStore",
    "TileUploadOutcome",
    "TileUploadResult",
    "TileUploader",
    "TileWriteOutcome",
    "UploadBatchReport",
    "UploadProblem",
    "UploadReason",
    "UploadRequest",
    "VariantTable",
    "VectorStorage",
    "VotingStatus",
    "apply_migrations",
    "build_descriptor_index",
    "build_tile_metadata_store",
    "build_tile_store",
    "build_tile_uploader",
    "decode_tile_key",
    "derive_location_hash",
    "derive_tile_id",
    "encode_tile_key",
    "find_tiles",
    "ground_sample_distance",
    "load_config",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module and keep it (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
