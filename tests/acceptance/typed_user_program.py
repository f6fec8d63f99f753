"""Every public name as a user's program would use it. Type-checked by test_public_typing.py, never run."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from mmap import mmap
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import aerotile


class StoppedClock:
    """A clock of the user's own."""

    def now(self) -> datetime:
        return datetime(2026, 5, 1, tzinfo=timezone.utc)

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        return None


class PrintedRecord:
    """A flight recorder of the user's own."""

    def record(self, event: aerotile.FlightEvent) -> None:
        assert_type(event.kind, aerotile.EventKind)
        assert_type(event.severity, aerotile.Severity)
        assert_type(event.reason, str)

    def record_fix(self, fix: aerotile.PositionFix) -> None:
        assert_type(fix.tile_id, aerotile.TileId)
        assert_type(fix.lookup, "str | None")


class EverywhereTheSame:
    """A sector index of the user's own, with a judge."""

    def __init__(self, sector: aerotile.SectorBoundary, verdict: aerotile.FreshnessVerdict) -> None:
        self._sector = sector
        self._verdict = verdict

    def sectors_at(self, lat: float, lon: float) -> tuple[aerotile.SectorBoundary, ...]:
        return (self._sector,)

    def sectors_intersecting(self, bbox: aerotile.Bbox) -> tuple[aerotile.SectorBoundary, ...]:
        return (self._sector,)

    def judge(self, rules: Any, default_classification: aerotile.SectorClassification) -> aerotile.TileJudge:
        return self

    def verdict_on(
        self, tile_id: aerotile.TileId, captured_us: int, now: datetime
    ) -> aerotile.FreshnessVerdict:
        return self._verdict


class Landmarks:
    """A search of the user's own, for `find_tiles`."""

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[aerotile.SearchHit]:
        return [aerotile.SearchHit(aerotile.TileId(0, 0, 0, aerotile.TileSource.IMPORTED), 0.5)]


def configure() -> aerotile.AerotileConfig:
    assert_type(aerotile.load_config(), aerotile.AerotileConfig)
    return aerotile.AerotileConfig(
        root=Path("data"),
        database=aerotile.DatabaseConfig(dsn=aerotile.Secret("postgresql://somewhere/tiles")),
        descriptor=aerotile.DescriptorConfig(model=Path("network.onnx"), providers=("CPUExecutionProvider",)),
        base=aerotile.BaseConfig(
            public_keys=("ab" * 32,), verify=aerotile.BaseVerify.SCRUB, memory=aerotile.BaseMemory.LOCKED
        ),
        budget=aerotile.BudgetConfig(max_bytes=1 << 30),
        freshness=aerotile.FreshnessConfig(
            default_classification=aerotile.SectorClassification.ACTIVE_CONFLICT
        ),
        health=aerotile.HealthConfig(file=Path("/run/aerotile/health.json"), period_s=0.5),
        index=aerotile.IndexConfig(
            metric=aerotile.DescriptorMetric.L2, storage=aerotile.VectorStorage.FLOAT32
        ),
        lru=aerotile.LruConfig(flush_interval_s=5.0),
        reads=aerotile.ReadsConfig(deadline_s=0.1),
        recall=aerotile.RecallConfig(public_keys=("cd" * 32,), threshold=1),
        record=aerotile.RecordConfig(queue_size=1024, lookups=aerotile.RecordLookups.FULL),
        tiles=aerotile.TilesConfig(tile_size_pixels=512),
        upload=aerotile.UploadConfig(url="https://provider.example"),
    )


def migrate(config: aerotile.AerotileConfig) -> None:
    report = aerotile.apply_migrations(config)
    assert_type(report, aerotile.MigrationReport)
    assert_type(report.applied, tuple[str, ...])


def describe(tile_id: aerotile.TileId) -> aerotile.TileMetadata:
    assert_type(tile_id.bbox, aerotile.Bbox)
    assert_type(tile_id.centre, tuple[float, float])
    assert_type(aerotile.derive_tile_id(tile_id.zoom_level, tile_id.x, tile_id.y, "imported", None), UUID)
    assert_type(aerotile.derive_location_hash(tile_id.zoom_level, tile_id.x, tile_id.y), UUID)
    table = aerotile.VariantTable.naming([tile_id])
    assert_type(aerotile.encode_tile_key(tile_id, table), int)
    assert_type(aerotile.decode_tile_key(0, table), aerotile.TileId)
    for position in aerotile.GridRange.covering(tile_id.bbox, 17):
        assert_type(position, tuple[int, int])
    return aerotile.TileMetadata(
        tile_id=tile_id,
        captured_at=StoppedClock().now(),
        content_sha256="0" * 64,
        disk_bytes=1,
        ground_sample_distance=aerotile.ground_sample_distance(tile_id.centre[0], tile_id.zoom_level),
        freshness_label=aerotile.FreshnessLabel.FRESH,
        voting_status=aerotile.VotingStatus.PENDING,
        quality=aerotile.TileQualityMetadata(2.5, 41, 0.75, 123.5),
    )


def replace(store: aerotile.SupportsLocalWrites, pixels: bytes, newer: aerotile.TileMetadata) -> None:
    try:
        replaced = store.replace_tile(pixels, newer)
    except aerotile.NotNewerError as error:
        assert_type((error.stored_captured_at, error.captured_at), tuple[datetime, datetime])
    else:
        assert_type(replaced, aerotile.ReplacedTile)
        assert_type(replaced.before, aerotile.TileMetadataPersistent)


def write(
    config: aerotile.AerotileConfig, tiles: Sequence[tuple[aerotile.TileBytes, aerotile.TileMetadata]]
) -> None:
    store = aerotile.build_tile_store(config)
    assert_type(store, aerotile.FileBackedTileStore | aerotile.LayeredTileStore)
    try:
        assert_type(store.write_tile(*tiles[0]), aerotile.TileMetadataPersistent)
    except aerotile.ContentHashMismatchError as error:
        assert_type(error.expected, "str | int")
    except aerotile.CaptureTimeInFutureError as error:
        assert_type(error.captured_at, datetime)
    except aerotile.CaptureTimeConflictError as error:
        amended = store.amend_capture_time(tiles[0][1].tile_id, error.captured_at)
        assert_type(amended, aerotile.AmendedTile)
        assert_type(amended.verdict, aerotile.FreshnessVerdict)
    except aerotile.OtherImageryError as error:
        assert_type(error.remedy, "str | None")
    except aerotile.DuplicateTileError as error:
        assert_type(error.tile_id, "aerotile.TileId | None")
    except aerotile.TileMetadataError as error:
        assert_type(error.remedy, "str | None")
    except aerotile.FreshnessRejectionError as error:
        assert_type(error.rule, aerotile.FreshnessRule)
    except aerotile.OnboardRoomExhaustedError as error:
        assert_type(error.budget_is_full, bool)
    except (aerotile.HeadroomTakenError, aerotile.CacheBudgetExhaustedError) as error:
        assert_type(error.needed_bytes, int)
    except (aerotile.CommitOutcomeUnknownError, aerotile.NoMappingLeftError, aerotile.NoTileFileError):
        raise
    except (aerotile.StoreUnavailableError, aerotile.TileCacheError):
        raise
    for outcome in store.write_tiles(tiles):
        assert_type(outcome, aerotile.TileWriteOutcome)
        assert_type(outcome.stored, "aerotile.TileMetadataPersistent | None")
        assert_type(outcome.error, "aerotile.TileCacheError | None")
    assert_type(store.delete_tile(tiles[0][1].tile_id), int)


def write_any_buffer(
    store: aerotile.TileStore, jpeg: bytes, encoded: npt.NDArray[np.uint8], metadata: aerotile.TileMetadata
) -> None:
    mapped = store.read_tile_pixels(metadata.tile_id)
    for pixels in (jpeg, bytearray(jpeg), memoryview(jpeg), array("B", jpeg), mmap(-1, 1), mapped, encoded):
        store.write_tile(pixels, metadata)
    if isinstance(store, aerotile.SupportsLocalWrites):
        store.write_tiles([(encoded, metadata), (memoryview(jpeg), metadata)])
        try:
            assert_type(store.evict_tile(metadata.tile_id), int)
        except aerotile.EvictionRefusedError as error:
            assert_type(error.tile_id, aerotile.TileId)


def read(store: aerotile.FileBackedTileStore, tile_id: aerotile.TileId) -> bytes:
    try:
        with store.read_tile_pixels(tile_id) as pixels:
            assert_type(pixels, aerotile.TilePixelHandle)
            assert_type(pixels.nbytes, int)
            return bytes(memoryview(pixels))
    except aerotile.ReadDeadlineError as error:
        assert_type(error.deadline_s, float)
        return store.read_tile_bytes(tile_id)
    except aerotile.TileNotFoundError as error:
        assert_type(error.tile_id, aerotile.TileId)
        raise


def define_a_dataset(config: aerotile.AerotileConfig, store: aerotile.ReadableTiles) -> None:
    datasets = aerotile.build_dataset_store(config)
    assert_type(datasets, aerotile.DatasetStore)
    dataset = aerotile.Dataset(
        name="ortho-2024",
        licence="CC-BY-4.0",
        attribution="Survey Office",
        may_be_stored_offline=True,
        source="ortho.tif",
        source_sha256="0" * 64,
        digest_of=aerotile.DigestOf.FILE,
        captured_from="the file's tags",
    )
    try:
        datasets.define(dataset)
        assert_type(datasets.find("ortho-2024"), aerotile.Dataset)
    except aerotile.DatasetConflictError as error:
        assert_type(error.differences, tuple[str, ...])
    except aerotile.DatasetSourceChangedError as error:
        assert_type(error.found_sha256, str)
    except aerotile.DatasetNotStorableError as error:
        assert_type(error.licence, str)
    except aerotile.DatasetUndatedError as error:
        assert_type(error.name, str)
    except (aerotile.UnknownDatasetError, aerotile.DatasetError) as error:
        assert_type(error.remedy, "str | None")
    try:
        assert_type(store.datasets_of([]), "dict[aerotile.TileId, str | None]")
    except aerotile.ContestedPlaceError as error:
        assert_type(error.held_by, "str | None")


def look_around(store: aerotile.FileBackedTileStore, tile_id: aerotile.TileId) -> None:
    matches = store.query_by_bbox(aerotile.Bbox(48, 11, 49, 12), 17)
    assert_type(matches, aerotile.CatalogueMatches)
    for entry in matches:
        assert_type(entry, aerotile.CatalogueEntry)
    verdict = store.verdict(tile_id)
    assert_type(verdict, "aerotile.FreshnessVerdict | None")
    if verdict is not None and verdict.decision is aerotile.FreshnessDecision.REJECT:
        assert_type(verdict.age, timedelta)
        assert_type(verdict.sector, "aerotile.SectorBoundary | None")
    if verdict is not None and verdict.clock_fault is not None:
        assert_type(verdict.clock_fault, aerotile.ClockFault)
        assert_type(verdict.clock_fault.reason, aerotile.ClockFaultReason)


def log_and_close(config: aerotile.AerotileConfig) -> None:
    recorder: aerotile.FlightRecorder = aerotile.build_flight_recorder(config)
    recorder.record(aerotile.FlightEvent(aerotile.EventKind.CLOCK_TRUSTED, "set by hand", {}))
    try:
        aerotile.build_tile_metadata_store(config).total_disk_bytes()
    except aerotile.ForkedProcessError as error:
        assert_type(error.opened_by, int)
    aerotile.close_runtimes()


def describe_frame(config: aerotile.AerotileConfig, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    model: aerotile.DescriptorModel = aerotile.build_descriptor_model(config)
    assert_type(model.name, str)
    assert_type(model.digest, str)
    assert_type(model.headings, tuple[int, ...])
    try:
        rows = model.describe(frame[np.newaxis])
    except (aerotile.DescriptorModelError, aerotile.DescribedTilesError) as error:
        raise SystemExit(error.explained) from error
    assert_type(rows, npt.NDArray[np.float32])
    return rows


def fly(config: aerotile.AerotileConfig, descriptor: npt.NDArray[np.float32]) -> None:
    store: aerotile.PixelReader = aerotile.build_tile_store(config)
    try:
        index: aerotile.DescriptorSearch = aerotile.build_descriptor_index(config)
    except aerotile.RuntimeNotAvailableError:
        index = Landmarks()
    except aerotile.IndexUnavailableError:
        raise
    with aerotile.find_tiles(descriptor, 5, index=index, store=store) as candidates:
        assert_type(candidates, aerotile.FoundTiles)
        for found in candidates:
            assert_type(found, aerotile.FoundTile)
            assert_type(found.distance, float)
            assert_type(found.pixels, aerotile.TilePixelHandle)
    if isinstance(store, aerotile.RecordsLookups):
        store.record_unknown_candidates([])
    if isinstance(index, aerotile.SupportsKeyListing):
        assert_type(index.tile_keys()[1], aerotile.VariantTable)
    if isinstance(index, aerotile.SupportsAreaSearch):
        assert_type(index.search_within(descriptor, 5, where_it_may_be()), list[aerotile.SearchHit])
        aerotile.find_tiles(descriptor, 5, index=index, store=store, near=where_it_may_be())


def where_it_may_be() -> aerotile.Area:
    circle = aerotile.Circle(48.1, 11.6, 5_000.0)
    valley = aerotile.Polygon([[(11.0, 48.0), (11.5, 48.0), (11.2, 48.4)]])
    assert_type(aerotile.MultiPolygon([valley]).bbox, aerotile.Bbox)
    road = aerotile.Corridor([(11.0, 48.0), (11.5, 48.2)], 5_000.0)
    area = aerotile.Area((circle, road, valley, aerotile.Bbox(48.0, 11.0, 48.1, 11.1)), zooms=[16])
    for span in area.spans(16):
        assert_type(span, aerotile.TileSpan)
    return area


def build_index(
    index: aerotile.DescriptorIndex, tiles: Sequence[aerotile.TileId], rows: npt.NDArray[np.float32]
) -> None:
    try:
        about = index.rebuild(tiles, rows, descriptor_model="a-network", built_at=StoppedClock().now())
    except aerotile.IndexBuildError:
        return
    assert_type(about, aerotile.IndexMetadata)
    assert_type(about.params, aerotile.HnswParams)
    assert_type(about.kind, aerotile.IndexKind)
    assert_type(index.search(rows[0], 5), list[aerotile.SearchHit])


def read_base(config: aerotile.AerotileConfig, tile_id: aerotile.TileId) -> None:
    base = aerotile.build_sealed_base(config)
    assert_type(base, aerotile.ReadableTiles)
    assert_type(base.read_tile_pixels(tile_id), aerotile.TilePixelHandle)


def read_recalled(base: aerotile.ReadableTiles, tile_id: aerotile.TileId) -> None:
    try:
        base.read_tile_pixels(tile_id).close()
    except aerotile.TileRecalledError as error:
        assert_type((error.tile_id, error.number), tuple[aerotile.TileId, int])
        assert_type(error.entry + error.reason, str)
    except aerotile.RecallListError as error:
        assert_type(error.remedy, "str | None")


def remove(store: aerotile.TileStore, tile_id: aerotile.TileId) -> None:
    try:
        store.delete_tile(tile_id)
    except aerotile.SealedTileError as error:
        assert_type(error.tile_id, aerotile.TileId)


def know(config: aerotile.AerotileConfig, tile_id: aerotile.TileId) -> None:
    rows = aerotile.build_tile_metadata_store(config)
    assert_type(rows, aerotile.TileMetadataStore)
    assert_type(rows.get_by_id(tile_id), "aerotile.TileMetadataPersistent | None")
    assert_type(rows.pending_uploads(10), list[aerotile.TileMetadataPersistent])
    if isinstance(rows, aerotile.SupportsPins):
        rows.set_pinned(tile_id, True)
        assert_type(rows.pinned_tiles(), list[aerotile.TileId])


def upload(config: aerotile.AerotileConfig) -> float | None:
    def show(batch: aerotile.BatchProgress) -> None:
        assert_type(batch.results, tuple[aerotile.TileUploadResult, ...])

    clock: aerotile.Clock = StoppedClock()
    uploader: aerotile.TileUploader = aerotile.build_tile_uploader(config, clock=clock)
    report = uploader.upload_pending_tiles(aerotile.UploadRequest(after_batch=show))
    assert_type(report, aerotile.UploadBatchReport)
    for result in report.rejected:
        assert_type(result.outcome, aerotile.TileUploadOutcome)
        reason: aerotile.UploadReason | None = result.reason
        assert_type(reason, "aerotile.UploadReason | None")
    problem: aerotile.UploadProblem | None = report.problem
    if problem is not None and problem.kind is aerotile.ProblemKind.BUSY:
        return problem.retry_after_s
    return None if report.outcome is aerotile.BatchOutcome.SUCCESS else report.next_retry_at_s


def watch(config: aerotile.AerotileConfig) -> bool:
    monitor = aerotile.build_health_monitor(config)
    assert_type(monitor, aerotile.HealthMonitor)
    monitor.beat()
    health = monitor.health()
    assert_type(health, aerotile.Health)
    assert_type(health.degradations, tuple[aerotile.Degradation, ...])
    assert_type(health.seconds_since_beat, "float | None")
    return aerotile.DegradedState.DATABASE_GONE in health.states


def replay(line: dict[str, Any]) -> aerotile.RecordEnvelope:
    recorder: aerotile.FlightRecorder = PrintedRecord()
    recorder.record(aerotile.FlightEvent(aerotile.EventKind.WRITE, "committed", {}))
    tile_id = aerotile.TileId(1, 1, 1, aerotile.TileSource.IMPORTED)
    at = datetime.now(timezone.utc)
    recorder.record_fix(aerotile.PositionFix(tile_id=tile_id, lat=1, lon=2, fixed_at=at, error_m=3.0))
    return aerotile.RecordEnvelope.from_json(line)


def judge(index: aerotile.SectorIndex, rule: aerotile.FreshnessRule) -> None:
    if isinstance(index, aerotile.SupportsJudging):
        assert_type(
            index.judge({rule.classification: rule}, aerotile.SectorClassification.STABLE_REAR),
            aerotile.TileJudge,
        )


def ask_for_abilities(store: aerotile.TileStore) -> list[str]:
    abilities = {
        "reads": aerotile.SupportsLocalReads,
        "writes": aerotile.SupportsLocalWrites,
        "readable": aerotile.ReadableTiles,
    }
    return [name for name, ability in abilities.items() if isinstance(store, ability)]


def main() -> int:
    try:
        configure()
    except aerotile.ConfigurationError as error:
        assert_type(error.remedy, "str | None")
        return 2
    except aerotile.BaseUnavailableError:  # in flight
        return 1
    except aerotile.BaseSealError:  # on the ground
        return 1
    except aerotile.ImageryPlaceError as error:
        assert_type(error.place, tuple[int, int, int])
        return 1
    except aerotile.ImagerySourceError:
        return 1
    except aerotile.AerotileError:
        return 1
    return 0
