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
    from .adapters.config.loader import load_config
    from .adapters.config.settings import AerotileConfig
    from .domain.errors import (
        AerotileError,
        CacheBudgetExhaustedError,
        CaptureTimeInFutureError,
        CommitOutcomeUnknownError,
        ConfigurationError,
        ContentHashMismatchError,
        DuplicateTileError,
        FreshnessRejectionError,
        HeadroomTakenError,
        IndexBuildError,
        IndexUnavailableError,
        NoMappingLeftError,
        NoTileFileError,
        ReadDeadlineError,
        RuntimeNotAvailableError,
        StoreUnavailableError,
        TileCacheError,
        TileMetadataError,
        TileNotFoundError,
    )
    from .domain.find_tiles import FoundTile, find_tiles
    from .domain.flight_events import FlightEvent, RecordEnvelope
    from .domain.ports.clock import Clock
    from .domain.ports.descriptor_index import DescriptorIndex, SupportsAreaSearch
    from .domain.ports.flight_recorder import FlightRecorder
    from .domain.ports.sector_index import SectorIndex, SupportsJudging, TileJudge
    from .domain.ports.tile_metadata import TileMetadataStore
    from .domain.ports.tile_store import (
        SupportsBboxQuery,
        SupportsBulkWrite,
        SupportsByteRead,
        SupportsEviction,
        SupportsHeadroom,
        SupportsReadDeadline,
        SupportsVerdict,
        TileStore,
        TileWriteOutcome,
    )
    from .domain.ports.uploader import TileUploader
    from .domain.values.areas import Area, Circle, Polygon
    from .domain.values.descriptors import (
        DescriptorMetric,
        HnswParams,
        IndexMetadata,
        SearchHit,
        VectorStorage,
    )
    from .domain.values.pixels import TilePixelHandle
    from .domain.values.sectors import FreshnessRule, SectorBoundary, SectorClassification
    from .domain.values.tile_grid import Bbox, GridRange, ground_sample_distance
    from .domain.values.tile_key import VariantTable, decode_tile_key, encode_tile_key
    from .domain.values.tile_names import derive_location_hash, derive_tile_id
    from .domain.values.tiles import (
        FreshnessLabel,
        TileId,
        TileMetadata,
        TileMetadataPersistent,
        TileQualityMetadata,
        TileSource,
        VotingStatus,
    )
    from .domain.values.upload_reports import (
        BatchOutcome,
        BatchProgress,
        TileUploadOutcome,
        TileUploadResult,
        UploadBatchReport,
        UploadProblem,
        UploadReason,
        UploadRequest,
    )

_NAMES_BY_MODULE = {
    ".adapters.composition": (
        "apply_migrations",
        "build_descriptor_index",
        "build_tile_metadata_store",
        "build_tile_store",
        "build_tile_uploader",
    ),
    ".adapters.config.loader": ("load_config",),
    ".adapters.config.settings": ("AerotileConfig",),
    ".domain.errors": (
        "AerotileError",
        "CacheBudgetExhaustedError",
        "CaptureTimeInFutureError",
        "CommitOutcomeUnknownError",
        "ConfigurationError",
        "ContentHashMismatchError",
        "DuplicateTileError",
        "FreshnessRejectionError",
        "HeadroomTakenError",
        "IndexBuildError",
        "IndexUnavailableError",
        "NoMappingLeftError",
        "NoTileFileError",
        "ReadDeadlineError",
        "RuntimeNotAvailableError",
        "StoreUnavailableError",
        "TileCacheError",
        "TileMetadataError",
        "TileNotFoundError",
    ),
    ".domain.find_tiles": (
        "FoundTile",
        "find_tiles",
    ),
    ".domain.flight_events": (
        "FlightEvent",
        "RecordEnvelope",
    ),
    ".domain.ports.clock": ("Clock",),
    ".domain.ports.descriptor_index": (
        "DescriptorIndex",
        "SupportsAreaSearch",
    ),
    ".domain.ports.flight_recorder": ("FlightRecorder",),
    ".domain.ports.sector_index": (
        "SectorIndex",
        "SupportsJudging",
        "TileJudge",
    ),
    ".domain.ports.tile_metadata": ("TileMetadataStore",),
    ".domain.ports.tile_store": (
        "SupportsBboxQuery",
        "SupportsBulkWrite",
        "SupportsByteRead",
        "SupportsEviction",
        "SupportsHeadroom",
        "SupportsReadDeadline",
        "SupportsVerdict",
        "TileStore",
        "TileWriteOutcome",
    ),
    ".domain.ports.uploader": ("TileUploader",),
    ".domain.values.areas": (
        "Area",
        "Circle",
        "Polygon",
    ),
    ".domain.values.descriptors": (
        "DescriptorMetric",
        "HnswParams",
        "IndexMetadata",
        "SearchHit",
        "VectorStorage",
    ),
    ".domain.values.pixels": ("TilePixelHandle",),
    ".domain.values.sectors": (
        "FreshnessRule",
        "SectorBoundary",
        "SectorClassification",
    ),
    ".domain.values.tile_grid": (
        "Bbox",
        "GridRange",
        "ground_sample_distance",
    ),
    ".domain.values.tile_key": (
        "VariantTable",
        "decode_tile_key",
        "encode_tile_key",
    ),
    ".domain.values.tile_names": (
        "derive_location_hash",
        "derive_tile_id",
    ),
    ".domain.values.tiles": (
        "FreshnessLabel",
        "TileId",
        "TileMetadata",
        "TileMetadataPersistent",
        "TileQualityMetadata",
        "TileSource",
        "VotingStatus",
    ),
    ".domain.values.upload_reports": (
        "BatchOutcome",
        "BatchProgress",
        "TileUploadOutcome",
        "TileUploadResult",
        "UploadBatchReport",
        "UploadProblem",
        "UploadReason",
        "UploadRequest",
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

__all__ = [
    "AerotileConfig",
    "AerotileError",
    "Area",
    "BatchOutcome",
    "BatchProgress",
    "Bbox",
    "CacheBudgetExhaustedError",
    "CaptureTimeInFutureError",
    "Circle",
    "Clock",
    "CommitOutcomeUnknownError",
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
    "HeadroomTakenError",
    "HnswParams",
    "IndexBuildError",
    "IndexMetadata",
    "IndexUnavailableError",
    "NoMappingLeftError",
    "NoTileFileError",
    "Polygon",
    "ReadDeadlineError",
    "RecordEnvelope",
    "RuntimeNotAvailableError",
    "SearchHit",
    "SectorBoundary",
    "SectorClassification",
    "SectorIndex",
    "StoreUnavailableError",
    "SupportsAreaSearch",
    "SupportsBboxQuery",
    "SupportsBulkWrite",
    "SupportsByteRead",
    "SupportsEviction",
    "SupportsHeadroom",
    "SupportsJudging",
    "SupportsReadDeadline",
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
