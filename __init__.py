"""Aerotile: the onboard map-tile cache for aircraft that navigate by sight.

These are the public names; docs/api.md lists them with their fields. Each name is imported from its module on
first use, so that `import aerotile.domain` loads no driver and no compiled code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters.composition import (
        apply_migrations,
        build_dataset_store,
        build_descriptor_index,
        build_flight_recorder,
        build_sealed_base,
        build_tile_metadata_store,
        build_tile_store,
        build_tile_uploader,
        close_runtimes,
    )
    from .adapters.config.loader import load_config
    from .adapters.config.secret import Secret
    from .adapters.config.settings import (
        AerotileConfig,
        BaseConfig,
        BaseVerify,
        BudgetConfig,
        DatabaseConfig,
        FreshnessConfig,
        IndexConfig,
        LruConfig,
        ReadsConfig,
        RecallConfig,
        RecordConfig,
        RecordLookups,
        TilesConfig,
        UploadConfig,
    )
    from .adapters.postgres.migrate import MigrationReport
    from .domain.errors import (
        AerotileError,
        BaseSealError,
        BaseUnavailableError,
        CacheBudgetExhaustedError,
        CaptureTimeConflictError,
        CaptureTimeInFutureError,
        CommitOutcomeUnknownError,
        ConfigurationError,
        ContentHashMismatchError,
        ContestedPlaceError,
        DatasetConflictError,
        DatasetError,
        DatasetNotStorableError,
        DatasetSourceChangedError,
        DatasetUndatedError,
        DuplicateTileError,
        ForkedProcessError,
        FreshnessRejectionError,
        HeadroomTakenError,
        IndexBuildError,
        IndexUnavailableError,
        NoMappingLeftError,
        NoTileFileError,
        NotNewerError,
        OnboardRoomExhaustedError,
        OtherImageryError,
        ReadDeadlineError,
        RecallListError,
        RuntimeNotAvailableError,
        SealedTileError,
        StoreUnavailableError,
        TileCacheError,
        TileMetadataError,
        TileNotFoundError,
        TileRecalledError,
        UnknownDatasetError,
    )
    from .domain.find_tiles import DescriptorSearch, FoundTile, FoundTiles, PixelReader, find_tiles
    from .domain.flight_events import EventKind, FlightEvent, RecordEnvelope, Severity
    from .domain.policies.clock_trust import ClockFault, ClockFaultReason
    from .domain.policies.freshness import FreshnessDecision, FreshnessVerdict
    from .domain.ports.clock import Clock
    from .domain.ports.dataset_store import DatasetStore
    from .domain.ports.descriptor_index import DescriptorIndex, SupportsAreaSearch, SupportsKeyListing
    from .domain.ports.flight_recorder import FlightRecorder
    from .domain.ports.sector_index import SectorIndex, SupportsJudging, TileJudge
    from .domain.ports.tile_metadata import SupportsPins, TileMetadataStore
    from .domain.ports.tile_store import (
        AmendedTile,
        ReadableTiles,
        RecordsLookups,
        ReplacedTile,
        SupportsLocalReads,
        SupportsLocalWrites,
        TileStore,
        TileWriteOutcome,
    )
    from .domain.ports.uploader import TileUploader
    from .domain.store.layered_store import LayeredTileStore
    from .domain.store.tile_store import FileBackedTileStore
    from .domain.values.areas import Area, TileSpan
    from .domain.values.catalogue_entries import CatalogueEntry, CatalogueMatches
    from .domain.values.corridors import Corridor
    from .domain.values.datasets import Dataset, DigestOf
    from .domain.values.descriptors import (
        DescriptorMetric,
        HnswParams,
        IndexMetadata,
        SearchHit,
        VectorStorage,
    )
    from .domain.values.lookups import PositionFix
    from .domain.values.pixels import TileBytes, TilePixelHandle
    from .domain.values.sectors import FreshnessRule, SectorBoundary, SectorClassification
    from .domain.values.shapes import Circle, MultiPolygon, Polygon
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
        ProblemKind,
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
        "build_dataset_store",
        "build_descriptor_index",
        "build_flight_recorder",
        "build_sealed_base",
        "build_tile_metadata_store",
        "build_tile_store",
        "build_tile_uploader",
        "close_runtimes",
    ),
    ".adapters.config.loader": ("load_config",),
    ".adapters.config.secret": ("Secret",),
    ".adapters.config.settings": (
        "AerotileConfig",
        "BaseConfig",
        "BaseVerify",
        "BudgetConfig",
        "DatabaseConfig",
        "FreshnessConfig",
        "IndexConfig",
        "LruConfig",
        "ReadsConfig",
        "RecallConfig",
        "RecordConfig",
        "RecordLookups",
        "TilesConfig",
        "UploadConfig",
    ),
    ".adapters.postgres.migrate": ("MigrationReport",),
    ".domain.errors": (
        "AerotileError",
        "BaseSealError",
        "BaseUnavailableError",
        "CacheBudgetExhaustedError",
        "CaptureTimeConflictError",
        "CaptureTimeInFutureError",
        "CommitOutcomeUnknownError",
        "ConfigurationError",
        "ContentHashMismatchError",
        "ContestedPlaceError",
        "DatasetConflictError",
        "DatasetError",
        "DatasetNotStorableError",
        "DatasetSourceChangedError",
        "DatasetUndatedError",
        "DuplicateTileError",
        "ForkedProcessError",
        "FreshnessRejectionError",
        "HeadroomTakenError",
        "IndexBuildError",
        "IndexUnavailableError",
        "NoMappingLeftError",
        "NoTileFileError",
        "NotNewerError",
        "OnboardRoomExhaustedError",
        "OtherImageryError",
        "ReadDeadlineError",
        "RecallListError",
        "RuntimeNotAvailableError",
        "SealedTileError",
        "StoreUnavailableError",
        "TileCacheError",
        "TileMetadataError",
        "TileNotFoundError",
        "TileRecalledError",
        "UnknownDatasetError",
    ),
    ".domain.find_tiles": (
        "DescriptorSearch",
        "FoundTile",
        "FoundTiles",
        "PixelReader",
        "find_tiles",
    ),
    ".domain.flight_events": (
        "EventKind",
        "FlightEvent",
        "RecordEnvelope",
        "Severity",
    ),
    ".domain.policies.clock_trust": (
        "ClockFault",
        "ClockFaultReason",
    ),
    ".domain.policies.freshness": (
        "FreshnessDecision",
        "FreshnessVerdict",
    ),
    ".domain.ports.clock": ("Clock",),
    ".domain.ports.dataset_store": ("DatasetStore",),
    ".domain.ports.descriptor_index": (
        "DescriptorIndex",
        "SupportsAreaSearch",
        "SupportsKeyListing",
    ),
    ".domain.ports.flight_recorder": ("FlightRecorder",),
    ".domain.ports.sector_index": (
        "SectorIndex",
        "SupportsJudging",
        "TileJudge",
    ),
    ".domain.ports.tile_metadata": (
        "SupportsPins",
        "TileMetadataStore",
    ),
    ".domain.ports.tile_store": (
        "AmendedTile",
        "ReadableTiles",
        "RecordsLookups",
        "ReplacedTile",
        "SupportsLocalReads",
        "SupportsLocalWrites",
        "TileStore",
        "TileWriteOutcome",
    ),
    ".domain.ports.uploader": ("TileUploader",),
    ".domain.store.layered_store": ("LayeredTileStore",),
    ".domain.store.tile_store": ("FileBackedTileStore",),
    ".domain.values.areas": (
        "Area",
        "TileSpan",
    ),
    ".domain.values.catalogue_entries": (
        "CatalogueEntry",
        "CatalogueMatches",
    ),
    ".domain.values.corridors": ("Corridor",),
    ".domain.values.datasets": (
        "Dataset",
        "DigestOf",
    ),
    ".domain.values.descriptors": (
        "DescriptorMetric",
        "HnswParams",
        "IndexMetadata",
        "SearchHit",
        "VectorStorage",
    ),
    ".domain.values.lookups": ("PositionFix",),
    ".domain.values.pixels": (
        "TileBytes",
        "TilePixelHandle",
    ),
    ".domain.values.sectors": (
        "FreshnessRule",
        "SectorBoundary",
        "SectorClassification",
    ),
    ".domain.values.shapes": (
        "Circle",
        "MultiPolygon",
        "Polygon",
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
        "ProblemKind",
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
    "AmendedTile",
    "Area",
    "BaseConfig",
    "BaseSealError",
    "BaseUnavailableError",
    "BaseVerify",
    "BatchOutcome",
    "BatchProgress",
    "Bbox",
    "BudgetConfig",
    "CacheBudgetExhaustedError",
    "CaptureTimeConflictError",
    "CaptureTimeInFutureError",
    "CatalogueEntry",
    "CatalogueMatches",
    "Circle",
    "Clock",
    "ClockFault",
    "ClockFaultReason",
    "CommitOutcomeUnknownError",
    "ConfigurationError",
    "ContentHashMismatchError",
    "ContestedPlaceError",
    "Corridor",
    "DatabaseConfig",
    "Dataset",
    "DatasetConflictError",
    "DatasetError",
    "DatasetNotStorableError",
    "DatasetSourceChangedError",
    "DatasetStore",
    "DatasetUndatedError",
    "DescriptorIndex",
    "DescriptorMetric",
    "DescriptorSearch",
    "DigestOf",
    "DuplicateTileError",
    "EventKind",
    "FileBackedTileStore",
    "FlightEvent",
    "FlightRecorder",
    "ForkedProcessError",
    "FoundTile",
    "FoundTiles",
    "FreshnessConfig",
    "FreshnessDecision",
    "FreshnessLabel",
    "FreshnessRejectionError",
    "FreshnessRule",
    "FreshnessVerdict",
    "GridRange",
    "HeadroomTakenError",
    "HnswParams",
    "IndexBuildError",
    "IndexConfig",
    "IndexMetadata",
    "IndexUnavailableError",
    "LayeredTileStore",
    "LruConfig",
    "MigrationReport",
    "MultiPolygon",
    "NoMappingLeftError",
    "NoTileFileError",
    "NotNewerError",
    "OnboardRoomExhaustedError",
    "OtherImageryError",
    "PixelReader",
    "Polygon",
    "PositionFix",
    "ProblemKind",
    "ReadDeadlineError",
    "ReadableTiles",
    "ReadsConfig",
    "RecallConfig",
    "RecallListError",
    "RecordConfig",
    "RecordEnvelope",
    "RecordLookups",
    "RecordsLookups",
    "ReplacedTile",
    "RuntimeNotAvailableError",
    "SealedTileError",
    "SearchHit",
    "Secret",
    "SectorBoundary",
    "SectorClassification",
    "SectorIndex",
    "Severity",
    "StoreUnavailableError",
    "SupportsAreaSearch",
    "SupportsJudging",
    "SupportsKeyListing",
    "SupportsLocalReads",
    "SupportsLocalWrites",
    "SupportsPins",
    "TileBytes",
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
    "TileRecalledError",
    "TileSource",
    "TileSpan",
    "TileStore",
    "TileUploadOutcome",
    "TileUploadResult",
    "TileUploader",
    "TileWriteOutcome",
    "TilesConfig",
    "UnknownDatasetError",
    "UploadBatchReport",
    "UploadConfig",
    "UploadProblem",
    "UploadReason",
    "UploadRequest",
    "VariantTable",
    "VectorStorage",
    "VotingStatus",
    "apply_migrations",
    "build_dataset_store",
    "build_descriptor_index",
    "build_flight_recorder",
    "build_sealed_base",
    "build_tile_metadata_store",
    "build_tile_store",
    "build_tile_uploader",
    "close_runtimes",
    "decode_tile_key",
    "derive_location_hash",
    "derive_tile_id",
    "encode_tile_key",
    "find_tiles",
    "ground_sample_distance",
    "load_config",
]


if not TYPE_CHECKING:  # a type checker would take this for a promise that every name exists

    def __getattr__(name: str) -> Any:
        """Import a public name from its module and store it (PEP 562)."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULE_OF[name], __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
