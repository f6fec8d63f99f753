"""What every `TileStore` holds, whatever its halves are made of."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import attrs
import pytest

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.recorder import MemoryFlightRecorder
from aerotile.adapters.memory.rows import MemoryTileRows
from aerotile.adapters.memory.sector_index import MemorySectorIndex
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.domain.budget import BudgetEnforcedTileStore, CacheBudgetEnforcer
from aerotile.domain.errors import (
    CaptureTimeInFutureError,
    ContentHashMismatchError,
    DuplicateTileError,
    FreshnessRejectionError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from aerotile.domain.freshness import FreshnessDecision, FreshnessGate
from aerotile.domain.inventory import FoundKind
from aerotile.domain.kept_pixels import KeptPixels, PlainKeptPixels
from aerotile.domain.ports import (
    SupportsBboxQuery,
    SupportsBulkWrite,
    SupportsByteRead,
    SupportsEviction,
    SupportsReadDeadline,
    TilePixelHandle,
    TileStore,
)
from aerotile.domain.records import Kind
from aerotile.domain.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from aerotile.domain.sorted_catalogue import SortedTileCatalogue
from aerotile.domain.storage import CommitOutcomeUnknownError, StagedTile, TileCatalogue, TileFiles, TileRows
from aerotile.domain.store import FileBackedTileStore
from aerotile.domain.tile_grid import Bbox
from aerotile.domain.tiles import FreshnessLabel, TileId, TileMetadata, TileSource
from aerotile.domain.write_batches import write_tile_batches

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
CONFLICT = SectorBoundary("front", SectorClassification.ACTIVE_CONFLICT, Bbox(40.0, 30.0, 50.0, 40.0))
IN_CONFLICT = TileId.covering(45.0, 35.0, 10, TileSource.SATELLITE_PROVIDER)
IN_REAR = TileId.covering(-20.0, 25.0, 10, TileSource.SATELLITE_PROVIDER)
ONBOARD = TileId(10, 3, 4, TileSource.ONBOARD, UUID(int=7))


def jpeg(seed: int = 0, size: int = 64) -> bytes:
    return b"\xff\xd8\xff" + seed.to_bytes(4, "big") + bytes(size - 9) + b"\xff\xd9"


def described(
    pixels: bytes, tile_id: TileId = IN_REAR, age: timedelta = timedelta(0), **changes: object
) -> TileMetadata:
    metadata = TileMetadata(
        tile_id=tile_id,
        captured_at=NOW - age,
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=tile_id.zoom_level + 1.0,
    )
    return attrs.evolve(metadata, **changes)


@attrs.define
class Subject:
    """The store under test, with its halves so that a test can look past it."""

    rows: TileRows
    files: TileFiles
    budgeted: bool
    empty_catalogue: Callable[[], TileCatalogue] = SortedTileCatalogue
    clock: ManualClock = attrs.field(factory=lambda: ManualClock(NOW))
    recorder: MemoryFlightRecorder = attrs.field(factory=MemoryFlightRecorder)
    new_kept: Callable[..., KeptPixels] = PlainKeptPixels
    new_kept_bounds: dict[str, int] = attrs.field(factory=dict)
    kept: KeptPixels = attrs.field(init=False)
    """What the store opened last keeps."""

    def open_inner(
        self,
        files: TileFiles | None = None,
        verify_hash: bool = False,
    ) -> FileBackedTileStore:
        self.kept = self.new_kept(**self.new_kept_bounds)
        gate = FreshnessGate(
            [CONFLICT],
            SEEDED_RULES,
            sector_index=MemorySectorIndex([CONFLICT]),
            default_classification=SectorClassification.STABLE_REAR,
            clock=self.clock,
            recorder=self.recorder,
        )
        return FileBackedTileStore(
            self.rows,
            files or self.files,
            catalogue=self.empty_catalogue(),
            gate=gate,
            clock=self.clock,
            recorder=self.recorder,
            kept=self.kept,
            verify_hash=verify_hash,
        )

    def open(self, files: TileFiles | None = None, verify_hash: bool = False) -> TileStore:
        inner = self.open_inner(files, verify_hash=verify_hash)
        if not self.budgeted:
            return inner
        enforcer = CacheBudgetEnforcer(
            inner,
            inner.catalogue,
            committed_bytes=inner.catalogue.total_disk_bytes,
            budget_bytes=1 << 30,
            eviction_batch_size=8,
            recorder=self.recorder,
        )
        return BudgetEnforcedTileStore(inner, enforcer)

    def kinds(self) -> list[Kind]:
        return [event.kind for event in self.recorder.events]

    def on_disk(self) -> dict[TileId, set[FoundKind]]:
        found: dict[TileId, set[FoundKind]] = {}
        for file in self.files.inventory():
            found.setdefault(file.tile_id, set()).add(file.kind)
        return found

    def committed(self) -> dict[TileId, str]:
        return {row.tile_id: row.content_sha256 for row in self.rows.committed()}


@pytest.fixture(params=["memory", "memory, budgeted", "postgres and files", "postgres and files, budgeted"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    budgeted = "budgeted" in request.param
    if request.param.startswith("memory"):
        yield Subject(MemoryTileRows(), MemoryTileFiles(), budgeted)
        return
    from aerotile.adapters.filesystem import FilesystemTileFiles
    from aerotile.adapters.postgres.connection import Database
    from aerotile.adapters.postgres.rows import PostgresTileRows
    from aerotile.ext import CompiledTileCatalogue, KeptMappings

    def new_kept(max_count: int = 1_024) -> KeptPixels:
        return KeptMappings(max_count=max_count, max_bytes=1 << 30)

    database = Database(request.getfixturevalue("migrated_database"))
    files = FilesystemTileFiles(tmp_path / "tiles")
    yield Subject(PostgresTileRows(database), files, budgeted, CompiledTileCatalogue, new_kept=new_kept)
    files.close()
    database.close()


def test_it_is_a_tile_store_that_also_writes_in_bulk_and_answers_boxes(subject: Subject) -> None:
    store = subject.open()
    assert isinstance(store, TileStore)
    assert isinstance(store, SupportsBulkWrite)
    assert isinstance(store, SupportsBboxQuery)


def test_a_box_holds_what_is_stored_there_now(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    assert isinstance(store, SupportsBboxQuery)
    stored = store.write_tile(pixels, described(pixels))
    store.write_tile(pixels, described(pixels, IN_CONFLICT))
    (match,) = store.query_by_bbox(IN_REAR.bbox, 10)
    assert (match.tile_id, match.content_sha256) == (IN_REAR, stored.content_sha256)
    assert match.captured_at == stored.captured_at
    assert len(store.query_by_bbox(IN_REAR.bbox, 11)) == 0
    reopened = subject.open()
    assert isinstance(reopened, SupportsBboxQuery)
    assert reopened.query_by_bbox(IN_REAR.bbox, 10).tile_ids() == [IN_REAR]
    store.delete_tile(IN_REAR)
    assert len(store.query_by_bbox(IN_REAR.bbox, 10)) == 0


def test_what_was_written_is_read_back_byte_for_byte(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    stored = store.write_tile(pixels, described(pixels))
    assert stored.tile_id == IN_REAR
    assert stored.created_at == NOW
    assert stored.tile_uuid == IN_REAR.tile_uuid
    with store.read_tile_pixels(IN_REAR) as handle:
        assert bytes(memoryview(handle)) == pixels
        assert handle.nbytes == len(pixels)
    assert store.tile_exists(IN_REAR)
    assert subject.committed() == {IN_REAR: hashlib.sha256(pixels).hexdigest()}
    assert subject.kinds() == [Kind.WRITE]


def test_a_tile_that_was_never_written_is_not_found(subject: Subject) -> None:
    store = subject.open()
    assert not store.tile_exists(IN_REAR)
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(IN_REAR)
    with pytest.raises(TileNotFoundError):
        store.delete_tile(IN_REAR)


def test_duplicate_key_leaves_first_file_byte_identical(subject: Subject) -> None:
    store, first, second = subject.open(), jpeg(1), jpeg(2)
    store.write_tile(first, described(first))
    sidecar = subject.files.sidecar_sha256(IN_REAR)
    with pytest.raises(DuplicateTileError):
        store.write_tile(second, described(second))
    with store.read_tile_pixels(IN_REAR) as handle:
        assert bytes(memoryview(handle)) == first
    assert subject.files.sidecar_sha256(IN_REAR) == sidecar == hashlib.sha256(first).hexdigest()


def refused_cases() -> Iterator[tuple[str, bytes, TileMetadata, type[TileCacheError], str]]:
    good, other = jpeg(1), jpeg(2)
    yield "wrong hash", other, described(good), ContentHashMismatchError, "hash_gate"
    yield "wrong length", good, described(good, disk_bytes=65), ContentHashMismatchError, "hash_gate"
    for name, pixels in [("no start marker", b"x" + good), ("no end marker", good + b"x")]:
        yield name, pixels, described(pixels), TileMetadataError, "hash_gate"
    stale = timedelta(days=181)
    yield "stale", good, described(good, IN_CONFLICT, stale), FreshnessRejectionError, "freshness_gate"
    future = timedelta(minutes=-6)
    yield "future", good, described(good, IN_REAR, future), CaptureTimeInFutureError, "freshness_gate"


@pytest.mark.parametrize(
    ("pixels", "metadata", "error", "step"),
    [pytest.param(*case[1:], id=case[0]) for case in refused_cases()],
)
def test_a_refused_tile_leaves_the_world_as_it_was_and_a_record_of_the_step(
    subject: Subject, pixels: bytes, metadata: TileMetadata, error: type[TileCacheError], step: str
) -> None:
    store = subject.open()
    with pytest.raises(error):
        store.write_tile(pixels, metadata)
    assert subject.committed() == {}
    assert subject.on_disk() == {}
    assert not store.tile_exists(metadata.tile_id)
    failed = subject.recorder.events[-1]
    assert failed.kind is Kind.WRITE_FAILED
    assert failed.payload["step"] == step


def test_an_old_tile_outside_the_conflict_is_stored_with_its_label(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg()
    stored = store.write_tile(pixels, described(pixels, age=timedelta(days=366)))
    assert stored.freshness_label is FreshnessLabel.DOWNGRADED
    assert subject.kinds() == [Kind.FRESHNESS_DOWNGRADED, Kind.WRITE]


def test_a_handle_outlives_the_deletion_of_its_tile(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    store.write_tile(pixels, described(pixels))
    handle = store.read_tile_pixels(IN_REAR)
    assert store.delete_tile(IN_REAR) == len(pixels)
    assert bytes(memoryview(handle)) == pixels
    handle.close()
    assert not store.tile_exists(IN_REAR)
    assert subject.committed() == {}
    assert subject.on_disk() == {}
    again = jpeg(2)
    store.write_tile(again, described(again))
    with store.read_tile_pixels(IN_REAR) as second:
        assert bytes(memoryview(second)) == again


class _LostConnection:
    """Real rows whose connection is lost when a removal commits: the row is gone, the caller can't know."""

    def __init__(self, inner: TileRows) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    @contextmanager
    def removing(self, tile_id: TileId, *, evicting: bool = False) -> Iterator[int | None]:
        with self._inner.removing(tile_id, evicting=evicting):
            raise CommitOutcomeUnknownError("the connection was lost")
        yield None


def test_a_tile_whose_removal_may_have_been_committed_is_not_read_any_more(subject: Subject) -> None:
    pixels = jpeg(1)
    subject.open().write_tile(pixels, described(pixels))
    subject.rows = _LostConnection(subject.rows)  # type: ignore[assignment] # delegates the rest
    store = subject.open()
    with pytest.raises(CommitOutcomeUnknownError):
        store.delete_tile(IN_REAR)
    assert subject.files.exists(IN_REAR)
    assert not store.tile_exists(IN_REAR)
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(IN_REAR)


def test_a_file_without_a_committed_row_is_never_read_and_goes_at_the_next_open(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    subject.files.stage(pixels, described(pixels)).place()
    assert not store.tile_exists(IN_REAR)
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(IN_REAR)
    assert subject.open_inner().opened.orphans_removed == 1
    assert subject.on_disk() == {}


def test_a_row_without_its_file_is_reported_and_kept(subject: Subject) -> None:
    pixels = jpeg(1)
    subject.open().write_tile(pixels, described(pixels))
    subject.files.remove(IN_REAR)
    reopened = subject.open_inner()
    assert reopened.opened.files_missing == 1
    assert IN_REAR in subject.committed()
    with pytest.raises(TileNotFoundError):
        reopened.read_tile_pixels(IN_REAR)


def test_a_lost_sidecar_is_restored_by_the_next_open(subject: Subject) -> None:
    pixels = jpeg(1)
    subject.open().write_tile(pixels, described(pixels))
    for found in list(subject.files.inventory()):
        if found.kind is FoundKind.SIDECAR:
            subject.files.discard(found)
    assert subject.open_inner().opened.sidecars_restored == 1
    assert subject.files.sidecar_sha256(IN_REAR) == hashlib.sha256(pixels).hexdigest()


def test_a_reopened_store_knows_what_was_written_before(subject: Subject) -> None:
    pixels = jpeg(1)
    subject.open().write_tile(pixels, described(pixels))
    reopened = subject.open_inner()
    assert reopened.opened.tiles == 1
    with reopened.read_tile_pixels(IN_REAR) as handle:
        assert handle.nbytes == len(pixels)


def test_a_tile_whose_file_is_gone_is_not_there_any_more(subject: Subject) -> None:
    store, other, pixels = subject.open(), subject.open_inner(), jpeg(1)
    store.write_tile(pixels, described(pixels))
    assert other.delete_tile(IN_REAR) == len(pixels)
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(IN_REAR)
    assert not store.tile_exists(IN_REAR)


class _Silent:
    """A half of a store that must not be asked."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"asked for {name}")


def test_a_read_asks_no_database_and_of_an_unknown_tile_not_even_the_disk(subject: Subject) -> None:
    store, pixels = subject.open_inner(), jpeg(1)
    store.write_tile(pixels, described(pixels))
    subject.files.stage(pixels, described(pixels, IN_CONFLICT)).place()
    store._rows = _Silent()  # type: ignore[assignment] # nothing of it may be used
    store.read_tile_pixels(IN_REAR).close()
    assert store.verdict(IN_REAR) is not None
    store._files = _Silent()  # type: ignore[assignment] # nothing of it may be used
    assert not store.tile_exists(IN_CONFLICT)
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(ONBOARD)


@pytest.mark.parametrize("tile_id", [IN_REAR, ONBOARD])
def test_only_a_tile_that_can_be_had_again_is_evicted(subject: Subject, tile_id: TileId) -> None:
    store, pixels = subject.open_inner(), jpeg(1)
    assert isinstance(store, SupportsEviction)
    store.write_tile(pixels, described(pixels, tile_id))
    if tile_id is ONBOARD:
        with pytest.raises(TileNotFoundError):
            store.evict_tile(tile_id)
        with store.read_tile_pixels(tile_id) as handle:
            assert bytes(memoryview(handle)) == pixels
    else:
        assert store.evict_tile(tile_id) == len(pixels)
        assert not store.tile_exists(tile_id)
        assert subject.on_disk() == {}
        with pytest.raises(TileNotFoundError):
            store.evict_tile(tile_id)


class _Unanswering:
    """Real rows that can't be asked about single tiles."""

    def __init__(self, inner: TileRows) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    def committed_among(self, tile_ids: object) -> object:
        raise StoreUnavailableError("the database has gone")


def test_a_tile_that_may_not_be_evicted_is_read_all_the_time(subject: Subject) -> None:
    subject.rows = _Unanswering(subject.rows)  # type: ignore[assignment] # delegates the rest
    store, pixels = subject.open_inner(), jpeg(1)
    store.write_tile(pixels, described(pixels, ONBOARD))
    with pytest.raises(StoreUnavailableError):
        store.evict_tile(ONBOARD)
    store.read_tile_pixels(ONBOARD).close()


def test_an_eviction_that_was_refused_corrects_the_catalogue(subject: Subject) -> None:
    store, pixels = subject.open_inner(), jpeg(1)
    store.write_tile(pixels, described(pixels))
    with subject.rows.removing(IN_REAR):
        pass
    with pytest.raises(TileNotFoundError):
        store.evict_tile(IN_REAR)
    assert not store.tile_exists(IN_REAR)


def test_reads_are_noted_for_eviction_and_writes_are_not(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    assert isinstance(store, SupportsByteRead)
    for tile_id in (IN_REAR, IN_CONFLICT, ONBOARD):
        store.write_tile(pixels, described(pixels, tile_id))
    assert subject.kept.drain_reads() == []
    for tile_id in (IN_REAR, IN_CONFLICT, IN_REAR):
        store.read_tile_pixels(tile_id).close()
    store.read_tile_bytes(ONBOARD)
    store.tile_exists(IN_CONFLICT)
    assert subject.kept.drain_reads() == [IN_CONFLICT, IN_REAR, ONBOARD]
    assert subject.kept.drain_reads() == []


def test_a_second_read_of_a_tile_opens_no_file(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    store.write_tile(pixels, described(pixels))
    first = store.read_tile_pixels(IN_REAR)
    subject.files.remove(IN_REAR)
    second = store.read_tile_pixels(IN_REAR)
    first.close()
    assert bytes(memoryview(second)) == pixels
    second.close()
    second.close()
    assert (subject.kept.counts().hits, subject.kept.counts().misses) == (1, 1)


def test_a_handle_outlives_what_is_kept(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    store.write_tile(pixels, described(pixels))
    handle = store.read_tile_pixels(IN_REAR)
    subject.kept.drop(IN_REAR)
    subject.kept.release()
    again = store.read_tile_pixels(IN_REAR)
    subject.kept.close()
    subject.kept.release()
    assert bytes(memoryview(handle)) == bytes(memoryview(again)) == pixels
    handle.close()
    again.close()
    with store.read_tile_pixels(IN_REAR) as late:
        assert bytes(memoryview(late)) == pixels
    assert subject.kept.counts().kept == 0


class _OvertakenFiles:
    """Real files; between the opening of a tile and its keeping something else happens."""

    def __init__(self, inner: TileFiles) -> None:
        self._inner = inner
        self.meanwhile: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    def open(self, tile_id: TileId, timeout_s: float | None = None) -> TilePixelHandle:
        handle = self._inner.open(tile_id, timeout_s)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return handle


def test_a_tile_deleted_while_it_is_being_opened_is_not_kept(subject: Subject) -> None:
    files = _OvertakenFiles(subject.files)
    store, pixels = subject.open(files), jpeg(1)  # type: ignore[arg-type] # delegates the rest
    store.write_tile(pixels, described(pixels))
    files.meanwhile = lambda: store.delete_tile(IN_REAR)
    handle = store.read_tile_pixels(IN_REAR)
    assert bytes(memoryview(handle)) == pixels
    handle.close()
    assert subject.kept.counts().kept == 0
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(IN_REAR)


@pytest.mark.parametrize("verify_hash", [False, True])
def test_a_tile_replaced_while_it_is_being_opened_is_read_anew(subject: Subject, verify_hash: bool) -> None:
    files = _OvertakenFiles(subject.files)
    store, old, new = subject.open(files, verify_hash), jpeg(1), jpeg(2)  # type: ignore[arg-type] # as above
    store.write_tile(old, described(old))

    def replace() -> None:
        store.delete_tile(IN_REAR)
        store.write_tile(new, described(new))

    files.meanwhile = replace
    with store.read_tile_pixels(IN_REAR) as handle:
        assert bytes(memoryview(handle)) == (new if verify_hash else old)
    with store.read_tile_pixels(IN_REAR) as handle:
        assert bytes(memoryview(handle)) == new


def test_the_catalogue_forgets_a_tile_before_its_pixels_are_dropped(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    store.write_tile(pixels, described(pixels))
    store.read_tile_pixels(IN_REAR).close()
    seen: list[bool] = []

    def drop(tile_id: TileId, inner: Callable[[TileId], None]) -> None:
        seen.append(store.tile_exists(tile_id))
        inner(tile_id)

    kept = subject.kept
    inner = store._store if isinstance(store, BudgetEnforcedTileStore) else store
    assert isinstance(inner, FileBackedTileStore)
    observed = _Observed(kept, lambda tile_id: drop(tile_id, kept.drop))
    inner.kept = observed  # whose steps are observed
    store.delete_tile(IN_REAR)
    assert seen == [False]
    assert kept.get(IN_REAR) is None


@attrs.frozen
class _Observed:
    """Kept pixels, of which a test watches the drops."""

    inner: KeptPixels
    drop: Callable[[TileId], None]

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self.inner, name)
        return method


def test_owners_see_their_own_writes_and_deletions_at_once_beside_many_readers(subject: Subject) -> None:
    subject.new_kept_bounds = {"max_count": 2}
    store = subject.open()
    tile_ids = [TileId(10, x, 7, TileSource.IMPORTED) for x in range(4)]
    done = threading.Event()

    def own(number: int) -> None:
        for version in range(25):
            pixels = jpeg(number * 1_000 + version, 5_000)
            store.write_tile(pixels, described(pixels, tile_ids[number]))
            for _ in range(3):
                with store.read_tile_pixels(tile_ids[number]) as handle:
                    assert bytes(memoryview(handle)) == pixels
            store.delete_tile(tile_ids[number])
            for _ in range(3):
                with pytest.raises(TileNotFoundError):
                    store.read_tile_pixels(tile_ids[number])

    def read(seed: int) -> int:
        choice, count = random.Random(seed), 0
        while not done.is_set():
            number = choice.randrange(len(tile_ids))
            try:
                handle = store.read_tile_pixels(tile_ids[number])
            except TileNotFoundError:
                continue
            pixels = bytes(memoryview(handle))
            handle.close()
            assert pixels == jpeg(int.from_bytes(pixels[3:7], "big"), 5_000)
            assert int.from_bytes(pixels[3:7], "big") // 1_000 == number
            count += 1
        return count

    def release() -> None:
        while not done.wait(0.001):
            subject.kept.release()
            subject.kept.drain_reads()

    with ThreadPoolExecutor(8) as threads:
        readers = [threads.submit(read, seed) for seed in range(3)]
        releasing = threads.submit(release)
        try:
            for _ in threads.map(own, range(len(tile_ids))):
                pass
        finally:
            done.set()
        assert all(reader.result() > 0 for reader in readers)
        releasing.result()


def test_a_rewritten_tile_is_not_served_from_what_was_kept_of_the_old_one(subject: Subject) -> None:
    one, pixels, again = subject.open(), jpeg(1), jpeg(2)
    one.write_tile(pixels, described(pixels))
    one.read_tile_pixels(IN_REAR).close()
    other = subject.open()
    other.delete_tile(IN_REAR)  # of which the first store does not know
    one.write_tile(again, described(again))
    with one.read_tile_pixels(IN_REAR) as handle:
        assert bytes(memoryview(handle)) == again


def test_damaged_pixels_are_refused_where_hashes_are_verified_and_never_kept(subject: Subject) -> None:
    pixels, damaged = jpeg(1), jpeg(2)
    for verify_hash in (False, True):
        store = subject.open(verify_hash=verify_hash)
        assert isinstance(store, SupportsByteRead)
        if not verify_hash:
            store.write_tile(pixels, described(pixels))
            subject.files.stage(damaged, described(damaged)).place()
            store.read_tile_pixels(IN_REAR).close()
            assert store.read_tile_bytes(IN_REAR) == damaged
            continue
        for read in (store.read_tile_pixels, store.read_tile_bytes, store.read_tile_pixels):
            with pytest.raises(ContentHashMismatchError) as caught:
                read(IN_REAR)
            assert caught.value.tile_id == IN_REAR
        assert subject.kept.counts().kept == 0
        subject.files.stage(pixels, described(pixels)).place()
        with store.read_tile_pixels(IN_REAR) as handle:
            assert bytes(memoryview(handle)) == pixels
        assert store.read_tile_bytes(IN_REAR) == pixels


def test_a_copy_of_the_bytes_is_read_without_keeping_the_tile(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    assert isinstance(store, SupportsByteRead)
    store.write_tile(pixels, described(pixels))
    assert store.read_tile_bytes(IN_REAR) == pixels
    assert subject.kept.counts().kept == 0
    store.delete_tile(IN_REAR)
    with pytest.raises(TileNotFoundError):
        store.read_tile_bytes(IN_REAR)


def test_a_reader_may_say_how_long_it_waits(subject: Subject) -> None:
    store, pixels = subject.open(), jpeg(1)
    assert isinstance(store, SupportsReadDeadline)
    store.write_tile(pixels, described(pixels))
    for timeout_s in (None, 60.0, 0):
        with store.read_tile_pixels_within(IN_REAR, timeout_s) as handle:
            assert bytes(memoryview(handle)) == pixels
        subject.kept.drop(IN_REAR)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout_s"):
            store.read_tile_pixels_within(IN_REAR, wrong)
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels_within(ONBOARD, 1.0)


def test_the_verdict_on_a_stored_tile_is_as_of_now(subject: Subject) -> None:
    store, pixels = subject.open_inner(), jpeg(1)
    store.write_tile(pixels, described(pixels, IN_CONFLICT))
    before = store.verdict(IN_CONFLICT)
    subject.clock.advance(timedelta(days=181))
    after = store.verdict(IN_CONFLICT)
    assert before is not None
    assert after is not None
    assert (before.decision, after.decision) == (FreshnessDecision.ACCEPT, FreshnessDecision.REJECT)
    assert store.verdict(IN_REAR) is None


def test_a_bad_tile_never_sinks_its_batch(subject: Subject) -> None:
    store = subject.open()
    assert isinstance(store, SupportsBulkWrite)
    present, good, twice, onboard = jpeg(0), jpeg(1), jpeg(2), jpeg(3)
    ids = [TileId(10, x, 9, TileSource.IMPORTED) for x in range(3)]
    store.write_tile(present, described(present, ids[0]))
    outcomes = store.write_tiles(
        [
            (present, described(present, ids[0])),
            (good, described(good, ids[1])),
            (good, described(present, ids[2])),
            (twice, described(twice, ids[2])),
            (twice, described(twice, ids[2])),
            (good, described(good, IN_CONFLICT, timedelta(days=200))),
            (onboard, described(onboard, ONBOARD)),
        ]
    )
    assert [type(outcome.error) for outcome in outcomes] == [
        DuplicateTileError,
        type(None),
        ContentHashMismatchError,
        type(None),
        DuplicateTileError,
        FreshnessRejectionError,
        type(None),
    ]
    assert [o.tile_id for o in outcomes if o.stored] == [ids[1], ids[2], ONBOARD]
    assert set(subject.committed()) == {ids[0], ids[1], ids[2], ONBOARD}
    assert set(subject.on_disk()) == {ids[0], ids[1], ids[2], ONBOARD}
    with store.read_tile_pixels(ids[2]) as handle:
        assert bytes(memoryview(handle)) == twice


def test_batches_in_flight_together_store_what_each_would_alone(subject: Subject) -> None:
    store = subject.open()
    assert isinstance(store, SupportsBulkWrite)
    tiles = []
    for x in range(30):
        pixels = jpeg(seed=x)
        tiles.append((pixels, described(pixels, TileId(10, x, 700, TileSource.IMPORTED))))
    tiles[11] = (jpeg(seed=99), tiles[11][1])
    batches = [tiles[start : start + 4] for start in range(0, 30, 4)]
    outcomes = list(write_tile_batches(store, batches))
    assert [len(batch) for batch in outcomes] == [4] * 7 + [2]
    flat = [outcome for batch in outcomes for outcome in batch]
    assert [outcome.tile_id.x for outcome in flat] == list(range(30))
    assert [outcome.tile_id.x for outcome in flat if outcome.error is not None] == [11]
    assert set(subject.committed()) == {outcome.tile_id for outcome in flat if outcome.stored}
    assert set(subject.on_disk()) == set(subject.committed())


def test_a_batch_with_tiles_that_only_the_rows_know_leaves_those_as_they_are(subject: Subject) -> None:
    other = subject.open()
    assert isinstance(other, SupportsBulkWrite)
    tiles = []
    for x in range(30):
        pixels = jpeg(seed=x)
        tiles.append((pixels, described(pixels, TileId(10, x, 700, TileSource.IMPORTED))))
    store = subject.open()
    assert isinstance(store, SupportsBulkWrite)
    first = jpeg(seed=77)
    for _, metadata in tiles[::10]:
        other.write_tile(first, described(first, metadata.tile_id))
    outcomes = store.write_tiles(tiles)
    assert [isinstance(o.error, DuplicateTileError) for o in outcomes] == [x % 10 == 0 for x in range(30)]
    assert set(subject.committed()) == set(subject.on_disk()) == {metadata.tile_id for _, metadata in tiles}
    assert {found.kind for found in subject.files.inventory()} == {FoundKind.TILE, FoundKind.SIDECAR}
    for (pixels, metadata), outcome in zip(tiles, outcomes, strict=True):
        with subject.files.open(metadata.tile_id) as handle:
            assert bytes(memoryview(handle)) == (pixels if outcome.stored else first)


def test_of_batches_in_flight_that_name_one_tile_exactly_one_stores_it(subject: Subject) -> None:
    store = subject.open()
    assert isinstance(store, SupportsBulkWrite)
    pixels = [jpeg(seed=seed) for seed in range(12)]
    batches = [
        [(p, described(p, IN_REAR)), (p, described(p, TileId(10, x, 0, TileSource.IMPORTED)))]
        for x, p in enumerate(pixels)
    ]
    outcomes = [outcome for batch in write_tile_batches(store, batches) for outcome in batch]
    stored = [outcome.stored for outcome in outcomes if outcome.tile_id == IN_REAR and outcome.stored]
    assert len(stored) == 1
    refused = [outcome.error for outcome in outcomes if outcome.stored is None]
    assert {type(error) for error in refused} == {DuplicateTileError}
    assert len(refused) == 11
    with store.read_tile_pixels(IN_REAR) as handle:
        assert hashlib.sha256(memoryview(handle)).hexdigest() == stored[0].content_sha256


@attrs.frozen
class _BrokenStaged:
    inner: StagedTile

    def write_ahead(self) -> None:
        self.inner.write_ahead()

    def place(self) -> None:
        raise StoreUnavailableError("the disk does not answer")

    def withdraw(self) -> None:
        self.inner.withdraw()


class _BrokenFiles:
    """Real files whose disk fails when tiles of one column are placed."""

    def __init__(self, inner: TileFiles, broken_x: int) -> None:
        self._inner = inner
        self._broken_x = broken_x
        self._broken: list[StagedTile] = []

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._inner, name)
        return method

    def stage(self, pixels: bytes, metadata: TileMetadata) -> StagedTile:
        staged = self._inner.stage(pixels, metadata)
        return _BrokenStaged(staged) if metadata.tile_id.x == self._broken_x else staged

    def stage_many(self, tiles: list[tuple[bytes, TileMetadata]]) -> list[StagedTile | TileCacheError]:
        return [self.stage(pixels, metadata) for pixels, metadata in tiles]

    def place_many(self, staged: list[StagedTile]) -> list[StoreUnavailableError | None]:
        whole = [tile for tile in staged if not isinstance(tile, _BrokenStaged)]
        placed = iter(self._inner.place_many(whole))
        return [
            StoreUnavailableError("the disk does not answer")
            if isinstance(tile, _BrokenStaged)
            else next(placed)
            for tile in staged
        ]


def test_a_disk_that_fails_one_tile_leaves_no_row_of_it(subject: Subject) -> None:
    store = subject.open(_BrokenFiles(subject.files, broken_x=1))  # type: ignore[arg-type] # delegates the rest
    assert isinstance(store, SupportsBulkWrite)
    ids = [TileId(10, x, 9, TileSource.IMPORTED) for x in range(3)]
    pixels = jpeg(1)
    with pytest.raises(StoreUnavailableError):
        store.write_tile(pixels, described(pixels, ids[1]))
    assert subject.committed() == {}
    outcomes = store.write_tiles([(pixels, described(pixels, tile_id)) for tile_id in ids])
    assert [outcome.stored is not None for outcome in outcomes] == [True, False, True]
    assert set(subject.committed()) == set(subject.on_disk()) == {ids[0], ids[2]}
