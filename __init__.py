"""Aerotile: the onboard map-tile cache for aircraft that navigate by sight.

These are the public names; docs/api.md lists them with their fields. Each name is imported from its module on
first use, so that `import aerotile.domain` loads no driver and no compiled code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters.composition import apply_migrations as apply_migrations
    from .adapters.composition import build_dataset_store as build_dataset_store
    from .adapters.composition import build_descriptor_index as build_descriptor_index
    from .adapters.composition import build_descriptor_model as build_descriptor_model
    from .adapters.composition import build_flight_recorder as build_flight_recorder
    from .adapters.composition import build_health_monitor as build_health_monitor
    from .adapters.composition import build_sealed_base as build_sealed_base
    from .adapters.composition import build_tile_metadata_store as build_tile_metadata_store
    from .adapters.composition import build_tile_store as build_tile_store
    from .adapters.composition import build_tile_uploader as build_tile_uploader
    from .adapters.composition import close_runtimes as close_runtimes
    from .adapters.config.loader import load_config as load_config
    from .adapters.config.secret import Secret as Secret
    from .adapters.config.settings import AerotileConfig as AerotileConfig
    from .adapters.config.settings import BaseConfig as BaseConfig
    from .adapters.config.settings import BaseMemory as BaseMemory
    from .adapters.config.settings import BaseVerify as BaseVerify
    from .adapters.config.settings import BudgetConfig as BudgetConfig
    from .adapters.config.settings import DatabaseConfig as DatabaseConfig
    from .adapters.config.settings import DescriptorConfig as DescriptorConfig
    from .adapters.config.settings import FreshnessConfig as FreshnessConfig
    from .adapters.config.settings import HealthConfig as HealthConfig
    from .adapters.config.settings import IndexConfig as IndexConfig
    from .adapters.config.settings import LruConfig as LruConfig
    from .adapters.config.settings import ReadsConfig as ReadsConfig
    from .adapters.config.settings import RecallConfig as RecallConfig
    from .adapters.config.settings import RecordConfig as RecordConfig
    from .adapters.config.settings import RecordLookups as RecordLookups
    from .adapters.config.settings import TilesConfig as TilesConfig
    from .adapters.config.settings import UploadConfig as UploadConfig
    from .adapters.postgres.migrate import MigrationReport as MigrationReport
    from .domain.errors import AerotileError as AerotileError
    from .domain.errors import BaseSealError as BaseSealError
    from .domain.errors import BaseUnavailableError as BaseUnavailableError
    from .domain.errors import CacheBudgetExhaustedError as CacheBudgetExhaustedError
    from .domain.errors import CaptureTimeConflictError as CaptureTimeConflictError
    from .domain.errors import CaptureTimeInFutureError as CaptureTimeInFutureError
    from .domain.errors import CommitOutcomeUnknownError as CommitOutcomeUnknownError
    from .domain.errors import ConfigurationError as ConfigurationError
    from .domain.errors import ContentHashMismatchError as ContentHashMismatchError
    from .domain.errors import ContestedPlaceError as ContestedPlaceError
    from .domain.errors import DatasetConflictError as DatasetConflictError
    from .domain.errors import DatasetError as DatasetError
    from .domain.errors import DatasetNotStorableError as DatasetNotStorableError
    from .domain.errors import DatasetSourceChangedError as DatasetSourceChangedError
    from .domain.errors import DatasetUndatedError as DatasetUndatedError
    from .domain.errors import DescribedTilesError as DescribedTilesError
    from .domain.errors import DescriptorModelError as DescriptorModelError
    from .domain.errors import DuplicateTileError as DuplicateTileError
    from .domain.errors import EvictionRefusedError as EvictionRefusedError
    from .domain.errors import ForkedProcessError as ForkedProcessError
    from .domain.errors import FreshnessRejectionError as FreshnessRejectionError
    from .domain.errors import HeadroomTakenError as HeadroomTakenError
    from .domain.errors import ImageryPlaceError as ImageryPlaceError
    from .domain.errors import ImagerySourceError as ImagerySourceError
    from .domain.errors import IndexBuildError as IndexBuildError
    from .domain.errors import IndexUnavailableError as IndexUnavailableError
    from .domain.errors import NoMappingLeftError as NoMappingLeftError
    from .domain.errors import NoTileFileError as NoTileFileError
    from .domain.errors import NotNewerError as NotNewerError
    from .domain.errors import OnboardRoomExhaustedError as OnboardRoomExhaustedError
    from .domain.errors import OtherImageryError as OtherImageryError
    from .domain.errors import ReadDeadlineError as ReadDeadlineError
    from .domain.errors import RecallListError as RecallListError
    from .domain.errors import RuntimeNotAvailableError as RuntimeNotAvailableError
    from .domain.errors import SealedTileError as SealedTileError
    from .domain.errors import StoreUnavailableError as StoreUnavailableError
    from .domain.errors import TileCacheError as TileCacheError
    from .domain.errors import TileMetadataError as TileMetadataError
    from .domain.errors import TileNotFoundError as TileNotFoundError
    from .domain.errors import TileRecalledError as TileRecalledError
    from .domain.errors import UnknownDatasetError as UnknownDatasetError
    from .domain.find_tiles import DescriptorSearch as DescriptorSearch
    from .domain.find_tiles import FoundTile as FoundTile
    from .domain.find_tiles import FoundTiles as FoundTiles
    from .domain.find_tiles import PixelReader as PixelReader
    from .domain.find_tiles import find_tiles as find_tiles
    from .domain.flight_events import EventKind as EventKind
    from .domain.flight_events import FlightEvent as FlightEvent
    from .domain.flight_events import RecordEnvelope as RecordEnvelope
    from .domain.flight_events import Severity as Severity
    from .domain.policies.clock_trust import ClockFault as ClockFault
    from .domain.policies.clock_trust import ClockFaultReason as ClockFaultReason
    from .domain.policies.freshness import FreshnessDecision as FreshnessDecision
    from .domain.policies.freshness import FreshnessVerdict as FreshnessVerdict
    from .domain.ports.clock import Clock as Clock
    from .domain.ports.dataset_store import DatasetStore as DatasetStore
    from .domain.ports.descriptor_index import DescriptorIndex as DescriptorIndex
    from .domain.ports.descriptor_index import SupportsAreaSearch as SupportsAreaSearch
    from .domain.ports.descriptor_index import SupportsKeyListing as SupportsKeyListing
    from .domain.ports.descriptor_model import DescriptorModel as DescriptorModel
    from .domain.ports.flight_recorder import FlightRecorder as FlightRecorder
    from .domain.ports.health_monitor import HealthMonitor as HealthMonitor
    from .domain.ports.sector_index import SectorIndex as SectorIndex
    from .domain.ports.sector_index import SupportsJudging as SupportsJudging
    from .domain.ports.sector_index import TileJudge as TileJudge
    from .domain.ports.tile_metadata import SupportsPins as SupportsPins
    from .domain.ports.tile_metadata import TileMetadataStore as TileMetadataStore
    from .domain.ports.tile_store import AmendedTile as AmendedTile
    from .domain.ports.tile_store import ReadableTiles as ReadableTiles
    from .domain.ports.tile_store import RecordsLookups as RecordsLookups
    from .domain.ports.tile_store import ReplacedTile as ReplacedTile
    from .domain.ports.tile_store import SupportsLocalReads as SupportsLocalReads
    from .domain.ports.tile_store import SupportsLocalWrites as SupportsLocalWrites
    from .domain.ports.tile_store import TileStore as TileStore
    from .domain.ports.tile_store import TileWriteOutcome as TileWriteOutcome
    from .domain.ports.uploader import TileUploader as TileUploader
    from .domain.store.layered_store import LayeredTileStore as LayeredTileStore
    from .domain.store.tile_store import FileBackedTileStore as FileBackedTileStore
    from .domain.values.areas import Area as Area
    from .domain.values.areas import TileSpan as TileSpan
    from .domain.values.catalogue_entries import CatalogueEntry as CatalogueEntry
    from .domain.values.catalogue_entries import CatalogueMatches as CatalogueMatches
    from .domain.values.corridors import Corridor as Corridor
    from .domain.values.datasets import Dataset as Dataset
    from .domain.values.datasets import DigestOf as DigestOf
    from .domain.values.descriptors import DescriptorMetric as DescriptorMetric
    from .domain.values.descriptors import HnswParams as HnswParams
    from .domain.values.descriptors import IndexKind as IndexKind
    from .domain.values.descriptors import IndexMetadata as IndexMetadata
    from .domain.values.descriptors import SearchHit as SearchHit
    from .domain.values.descriptors import VectorStorage as VectorStorage
    from .domain.values.health import Degradation as Degradation
    from .domain.values.health import DegradedState as DegradedState
    from .domain.values.health import Health as Health
    from .domain.values.lookups import PositionFix as PositionFix
    from .domain.values.pixels import TileBytes as TileBytes
    from .domain.values.pixels import TilePixelHandle as TilePixelHandle
    from .domain.values.sectors import FreshnessRule as FreshnessRule
    from .domain.values.sectors import SectorBoundary as SectorBoundary
    from .domain.values.sectors import SectorClassification as SectorClassification
    from .domain.values.shapes import Circle as Circle
    from .domain.values.shapes import MultiPolygon as MultiPolygon
    from .domain.values.shapes import Polygon as Polygon
    from .domain.values.tile_grid import Bbox as Bbox
    from .domain.values.tile_grid import GridRange as GridRange
    from .domain.values.tile_grid import ground_sample_distance as ground_sample_distance
    from .domain.values.tile_key import VariantTable as VariantTable
    from .domain.values.tile_key import decode_tile_key as decode_tile_key
    from .domain.values.tile_key import encode_tile_key as encode_tile_key
    from .domain.values.tiles import FreshnessLabel as FreshnessLabel
    from .domain.values.tiles import TileId as TileId
    from .domain.values.tiles import TileMetadata as TileMetadata
    from .domain.values.tiles import TileMetadataPersistent as TileMetadataPersistent
    from .domain.values.tiles import TileQualityMetadata as TileQualityMetadata
    from .domain.values.tiles import TileSource as TileSource
    from .domain.values.tiles import VotingStatus as VotingStatus
    from .domain.values.tiles import derive_location_hash as derive_location_hash
    from .domain.values.tiles import derive_tile_id as derive_tile_id
    from .domain.values.upload_reports import BatchOutcome as BatchOutcome
    from .domain.values.upload_reports import BatchProgress as BatchProgress
    from .domain.values.upload_reports import ProblemKind as ProblemKind
    from .domain.values.upload_reports import TileUploadOutcome as TileUploadOutcome
    from .domain.values.upload_reports import TileUploadResult as TileUploadResult
    from .domain.values.upload_reports import UploadBatchReport as UploadBatchReport
    from .domain.values.upload_reports import UploadProblem as UploadProblem
    from .domain.values.upload_reports import UploadReason as UploadReason
    from .domain.values.upload_reports import UploadRequest as UploadRequest

_NAMES_BY_MODULE = {
    ".adapters.composition": (
        "apply_migrations build_dataset_store build_descriptor_index build_descriptor_model "
        "build_flight_recorder build_health_monitor build_sealed_base build_tile_metadata_store "
        "build_tile_store build_tile_uploader close_runtimes"
    ),
    ".adapters.config.loader": "load_config",
    ".adapters.config.secret": "Secret",
    ".adapters.config.settings": (
        "AerotileConfig BaseConfig BaseMemory BaseVerify BudgetConfig DatabaseConfig DescriptorConfig "
        "FreshnessConfig HealthConfig IndexConfig LruConfig ReadsConfig RecallConfig RecordConfig "
        "RecordLookups TilesConfig UploadConfig"
    ),
    ".adapters.postgres.migrate": "MigrationReport",
    ".domain.errors": (
        "AerotileError BaseSealError BaseUnavailableError CacheBudgetExhaustedError "
        "CaptureTimeConflictError CaptureTimeInFutureError CommitOutcomeUnknownError ConfigurationError "
        "ContentHashMismatchError ContestedPlaceError DatasetConflictError DatasetError "
        "DatasetNotStorableError DatasetSourceChangedError DatasetUndatedError DescribedTilesError "
        "DescriptorModelError DuplicateTileError EvictionRefusedError ForkedProcessError "
        "FreshnessRejectionError HeadroomTakenError ImageryPlaceError ImagerySourceError IndexBuildError "
        "IndexUnavailableError NoMappingLeftError NoTileFileError NotNewerError OnboardRoomExhaustedError "
        "OtherImageryError ReadDeadlineError RecallListError RuntimeNotAvailableError SealedTileError "
        "StoreUnavailableError TileCacheError TileMetadataError TileNotFoundError TileRecalledError "
        "UnknownDatasetError"
    ),
    ".domain.find_tiles": "DescriptorSearch FoundTile FoundTiles PixelReader find_tiles",
    ".domain.flight_events": "EventKind FlightEvent RecordEnvelope Severity",
    ".domain.policies.clock_trust": "ClockFault ClockFaultReason",
    ".domain.policies.freshness": "FreshnessDecision FreshnessVerdict",
    ".domain.ports.clock": "Clock",
    ".domain.ports.dataset_store": "DatasetStore",
    ".domain.ports.descriptor_index": "DescriptorIndex SupportsAreaSearch SupportsKeyListing",
    ".domain.ports.descriptor_model": "DescriptorModel",
    ".domain.ports.flight_recorder": "FlightRecorder",
    ".domain.ports.health_monitor": "HealthMonitor",
    ".domain.ports.sector_index": "SectorIndex SupportsJudging TileJudge",
    ".domain.ports.tile_metadata": "SupportsPins TileMetadataStore",
    ".domain.ports.tile_store": (
        "AmendedTile ReadableTiles RecordsLookups ReplacedTile SupportsLocalReads SupportsLocalWrites "
        "TileStore TileWriteOutcome"
    ),
    ".domain.ports.uploader": "TileUploader",
    ".domain.store.layered_store": "LayeredTileStore",
    ".domain.store.tile_store": "FileBackedTileStore",
    ".domain.values.areas": "Area TileSpan",
    ".domain.values.catalogue_entries": "CatalogueEntry CatalogueMatches",
    ".domain.values.corridors": "Corridor",
    ".domain.values.datasets": "Dataset DigestOf",
    ".domain.values.descriptors": (
        "DescriptorMetric HnswParams IndexKind IndexMetadata SearchHit VectorStorage"
    ),
    ".domain.values.health": "Degradation DegradedState Health",
    ".domain.values.lookups": "PositionFix",
    ".domain.values.pixels": "TileBytes TilePixelHandle",
    ".domain.values.sectors": "FreshnessRule SectorBoundary SectorClassification",
    ".domain.values.shapes": "Circle MultiPolygon Polygon",
    ".domain.values.tile_grid": "Bbox GridRange ground_sample_distance",
    ".domain.values.tile_key": "VariantTable decode_tile_key encode_tile_key",
    ".domain.values.tiles": (
        "FreshnessLabel TileId TileMetadata TileMetadataPersistent TileQualityMetadata TileSource "
        "VotingStatus derive_location_hash derive_tile_id"
    ),
    ".domain.values.upload_reports": (
        "BatchOutcome BatchProgress ProblemKind TileUploadOutcome TileUploadResult UploadBatchReport "
        "UploadProblem UploadReason UploadRequest"
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)


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
