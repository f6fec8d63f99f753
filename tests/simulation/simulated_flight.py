"""One simulated aircraft over several flights: random deeds, random faults, and what must hold after each.

The crew's notebook is the model: what a call confirmed is held against what the disk, the database and the
provider hold, seen from outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
from simulated_parts import (
    Dice,
    PowerCut,
    SimulatedDatabase,
    SimulatedDisk,
    SimulatedProvider,
    is_replaceable,
)

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.mapping_cache import MemoryMappingCache
from aerotile.adapters.memory.store_parts import small_store_parts
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.memory.uploader import MemoryUploadLedger
from aerotile.domain.errors import CommitOutcomeUnknownError, TileCacheError, TileNotFoundError
from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.policies.upload_retry import RetryBudget
from aerotile.domain.store.catalogue_sync import CatalogueSync
from aerotile.domain.store.delete_tile import TileDeleter
from aerotile.domain.store.disk_budget import CacheBudgetEnforcer
from aerotile.domain.store.tile_store import FileBackedTileStore
from aerotile.domain.store.verify import FindingKind, verify_store
from aerotile.domain.uploads.retrying_uploader import RetryingTileUploader
from aerotile.domain.uploads.upload_pending import PendingTileUploader
from aerotile.domain.values.disk_usage import DiskUsage
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import (
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileSource,
    VotingStatus,
)
from aerotile.domain.values.upload_reports import UploadReason, UploadRequest

START = datetime(2026, 5, 1, 6, tzinfo=timezone.utc)
ZOOM = 6
BUDGET_BYTES = 175_000
MAX_ATTEMPTS = 2
SECTORS = (
    SectorBoundary("front", SectorClassification.ACTIVE_CONFLICT, Bbox(40.0, 0.0, 60.0, 20.0)),
    SectorBoundary("rear", SectorClassification.STABLE_REAR, Bbox(-60.0, -180.0, 39.0, 180.0)),
)


@attrs.define(slots=False)
class Flights:
    """The world of one seed. `trace` tells what was done, for a seed that fails."""

    seed: int
    fault_rate: float = 0.01
    cut_rate: float = 0.002
    trace: list[str] = attrs.field(factory=list)
    confirmed: dict[TileId, str] = attrs.field(factory=dict)
    """SHA-256 of every tile whose write was confirmed and that was neither deleted nor evicted since."""
    rotten: set[TileId] = attrs.field(factory=set)
    """Tiles whose file was damaged behind the store's back."""
    doubtful: set[TileId] = attrs.field(factory=set)
    """Tiles whose write or removal ended without an answer since the store was opened."""

    def __attrs_post_init__(self) -> None:
        self.dice = Dice(self.seed, fault_rate=self.fault_rate, cut_rate=self.cut_rate)
        self.clock = ManualClock(START)
        self.disk = SimulatedDisk(self.dice)
        self.database = SimulatedDatabase(self.dice, disk_budget_bytes=BUDGET_BYTES, now=self.clock.now)
        self.provider = SimulatedProvider(self.dice)
        self.provider.ended = lambda tile: (
            tile.voting_status
            in (
                VotingStatus.REJECTED,
                VotingStatus.UPLOAD_GIVEUP,
            )
        )
        self.ledger = MemoryUploadLedger()
        self.flight_ids = [UUID(int=self.dice.random.getrandbits(128), version=4) for _ in range(2)]
        self.store: FileBackedTileStore | None = None

    def run(self, deeds: int) -> None:
        """Do `deeds` random things, then land: everything is looked at once more with nothing failing."""
        for _ in range(deeds):
            self._do(self.dice.random.choice(self._deeds()))
            self._check_world()
        self.dice.calm = True
        self.dice.powered = True
        self._open()
        self._check_world()
        self._check_store()
        self._upload()
        self._check_world()

    def _deeds(self) -> list[Callable[[], None]]:
        if self.store is None:
            return [self._open]
        return (
            [self._write] * 8
            + [self._write_batch] * 3
            + [self._read] * 6
            + [self._delete, self._pin, self._flush, self._upload, self._upload, self._vote]
            + [self._wait, self._jump, self._rot, self._verify, self._reopen, self._reopen]
        )

    def _do(self, deed: Callable[[], None]) -> None:
        """One deed; the errors that a caller must expect are taken as answers, all others are bugs."""
        name = deed.__name__.strip("_")
        try:
            deed()
            self.trace.append(name)
        except TileCacheError as error:
            self.trace.append(f"{name}: {type(error).__name__}: {error}")
        except PowerCut:
            self.trace.append(f"{name}: POWER CUT")
            self.dice.powered = True
            self.disk.power_returns()
            self.store = None

    # What the crew does.

    def _open(self) -> None:
        recorder = MemoryFlightRecorder()
        self.store = None
        catalogue = MemoryTileCatalogue()
        sync = CatalogueSync(self.database, self.disk, catalogue, MemoryMappingCache())
        enforcer = CacheBudgetEnforcer(
            TileDeleter(self.database, self.disk, sync).evict_tile,
            catalogue,
            committed_bytes=lambda: self.database.disk_usage().footprint_bytes,
            committed_onboard_bytes=lambda: self.database.disk_usage().onboard_footprint_bytes,
            budget_bytes=BUDGET_BYTES,
            eviction_batch_size=2,
            recorder=recorder,
        )
        parts = small_store_parts(
            self.database, self.disk, clock=self.clock, recorder=recorder, sync=sync, sectors=SECTORS
        )
        store = FileBackedTileStore(attrs.evolve(parts, headroom=enforcer), lock_timeout_s=0.05)
        self.doubtful.clear()
        self.store = store
        self.uploader = RetryingTileUploader(
            PendingTileUploader(
                tiles=self.database,
                store=self.store,
                ledger=self.ledger,
                link=self.provider,
                clock=self.clock,
                limits=BatchLimits(max_bytes=4_000, max_tiles=3),
                new_request_id=lambda: UUID(int=self.dice.random.getrandbits(128), version=4),
            ),
            attempts=self.database,
            budget=RetryBudget(max_in_call_retries=1, max_per_tile_attempts=MAX_ATTEMPTS),
            clock=self.clock,
            recorder=recorder,
        )

    def _reopen(self) -> None:
        self._open()

    def _write(self) -> None:
        pixels, metadata = self._make_tile()
        assert self.store is not None
        before = self.database.rows_as_they_are().get(metadata.tile_id)
        orphans = self._files() - self.database.rows_as_they_are().keys()
        faults = self.dice.faults
        try:
            stored = self.store.write_tile(pixels, metadata)
        except CommitOutcomeUnknownError:
            self.doubtful.add(metadata.tile_id)
            raise
        except TileCacheError:
            after = self.database.rows_as_they_are().get(metadata.tile_id)
            assert after is None or after == before, f"a refused write left a row: {after}"
            if self.dice.faults - faults < 2:  # two: the withdrawal may have failed as well
                orphan = after is None and before is None and metadata.tile_id in self._files() - orphans
                assert not orphan, f"a refused write left a file: {metadata.tile_id}"
            raise
        self._confirm(stored)

    def _write_batch(self) -> None:
        assert self.store is not None
        tiles = [self._make_tile() for _ in range(self.dice.random.randint(1, 5))]
        try:
            outcomes = self.store.write_tiles(tiles)
        except CommitOutcomeUnknownError:
            self.doubtful.update(metadata.tile_id for _, metadata in tiles)
            raise
        for outcome in outcomes:
            if outcome.stored is not None:
                self._confirm(outcome.stored)

    def _read(self) -> None:
        assert self.store is not None
        tile_id = self._some_tile()
        row = self.database.rows_as_they_are().get(tile_id)
        try:
            with self.store.read_tile_pixels(tile_id) as pixels:
                sha256 = hashlib.sha256(pixels).hexdigest()
        except TileNotFoundError:
            assert row is None or tile_id in self.doubtful, f"a committed tile was not found: {row}"
            raise
        assert row is not None, f"a tile without a row was read: {tile_id}"
        assert sha256 == row.content_sha256 or tile_id in self.rotten, f"other content was read: {row}"

    def _delete(self) -> None:
        assert self.store is not None
        tile_id = self._some_tile()
        self.database.deleting = tile_id
        try:
            self.store.delete_tile(tile_id)
        except CommitOutcomeUnknownError:
            self.doubtful.add(tile_id)
            raise
        finally:
            self.database.deleting = None

    def _pin(self) -> None:
        self.database.set_pinned(self._some_tile(), self.dice.chance(0.5))

    def _flush(self) -> None:
        self.database.record_lru_access({self._some_tile(): self.clock.now()})

    def _vote(self) -> None:
        status = self.dice.random.choice([VotingStatus.TRUSTED, VotingStatus.REJECTED])
        self.database.update_voting_status(self._some_tile(), status)

    def _upload(self) -> None:
        if self.dice.chance(0.3):
            reason = UploadReason("simulated", "the provider does not want it")
            self.provider.rejections[self._some_tile().tile_uuid] = reason
        self.uploader.upload_pending_tiles(UploadRequest())

    def _wait(self) -> None:
        self.clock.advance(timedelta(seconds=self.dice.random.uniform(0, 86_400)))
        self.disk.sync()

    def _jump(self) -> None:
        """The wall clock is corrected, or starts at 1970 for want of a battery."""
        hours = timedelta(hours=self.dice.random.uniform(-48, 48))
        boot = datetime(1970, 1, 1, tzinfo=timezone.utc)
        self.clock.set(boot if self.dice.chance(0.1) else START + hours)

    def _rot(self) -> None:
        rows = self.database.rows_as_they_are()
        if rows and self.dice.chance(0.2):
            tile_id = self.dice.random.choice(sorted(rows, key=str))
            if self._is_whole(rows[tile_id]):
                self.disk.damage(tile_id)
                self.rotten.add(tile_id)

    def _verify(self) -> None:
        findings = list(verify_store(self.database, self.disk))
        damaged = {f.tile_id for f in findings if f.kind is FindingKind.CONTENT_DAMAGED}
        unreadable = {f.tile_id for f in findings if f.kind is FindingKind.FILE_UNREADABLE}
        rows = self.database.rows_as_they_are()
        missed = {t for t in self.rotten if t in rows} - damaged - unreadable
        assert not missed, f"verify did not find the damage to {missed}"
        assert damaged <= self.rotten, f"verify found damage where there is none: {damaged - self.rotten}"

    # What must hold.

    def _check_world(self) -> None:
        """The invariants, seen from outside."""
        rows = self.database.rows_as_they_are()
        for tile_id in list(self.rotten):
            if tile_id not in rows:
                self.rotten.discard(tile_id)
        for tile_id, row in rows.items():
            assert self._is_whole(row) or tile_id in self.rotten, f"I-1: {row} has no file with its content"
        total = sum(row.disk_bytes for row in rows.values())
        assert self.database.total_as_it_is() == total, "I-3: the total is not the sum"
        taken = DiskUsage.of(rows.values()).footprint_bytes
        assert taken <= BUDGET_BYTES, f"{taken} bytes are over the budget"
        assert not self.database.wrongly_evicted, f"evicted: {self.database.wrongly_evicted}"
        assert not self.provider.sent_after_the_end, f"sent: {self.provider.sent_after_the_end}"
        for tile_id in self.database.removed:
            self.confirmed.pop(tile_id, None)
        self.database.removed.clear()
        for tile_id, sha256 in self.confirmed.items():
            assert tile_id in rows, f"{tile_id} was lost"
            assert rows[tile_id].content_sha256 == sha256, f"{tile_id} changed its content"
        for row in rows.values():
            if row.uploaded_at is not None:
                assert self.provider.stored.get(row.tile_uuid) == row.content_sha256, f"not there: {row}"
            # A rejection is counted before the tile is given up: a fault in between costs one more.
            most = MAX_ATTEMPTS + self.dice.faults + self.dice.cuts
            assert row.upload_attempts <= most, f"tried too often: {row}"

    def _check_store(self) -> None:
        """Every tile can be read and nothing else, right after an open."""
        assert self.store is not None
        rows = self.database.rows_as_they_are()
        for tile_id, row in rows.items():
            with self.store.read_tile_pixels(tile_id) as pixels:
                sha256 = hashlib.sha256(pixels).hexdigest()
            assert sha256 == row.content_sha256 or tile_id in self.rotten
        on_disk = self._files()
        assert on_disk == set(rows), f"I-2: files without a row: {on_disk - set(rows)}"

    def _files(self) -> set[TileId]:
        calm, self.dice.calm = self.dice.calm, True
        try:
            return {found.tile_id for found in self.disk.inventory()}
        finally:
            self.dice.calm = calm

    def _is_whole(self, row: TileMetadataPersistent) -> bool:
        calm, self.dice.calm = self.dice.calm, True
        powered, self.dice.powered = self.dice.powered, True
        try:
            return self.disk.content_sha256(row.tile_id) == row.content_sha256
        except TileNotFoundError:
            return False
        finally:
            self.dice.calm, self.dice.powered = calm, powered

    # What tiles there are.

    def _confirm(self, stored: TileMetadataPersistent) -> None:
        row = self.database.rows_as_they_are().get(stored.tile_id)
        if row is None:  # a batch larger than the budget evicts its own first tiles
            assert is_replaceable(stored), f"a confirmed write has no row: {stored}"
            return
        assert row.content_sha256 == stored.content_sha256
        self.confirmed[stored.tile_id] = stored.content_sha256
        self.rotten.discard(stored.tile_id)

    def _some_tile(self) -> TileId:
        source = self.dice.random.choice([TileSource.ONBOARD, TileSource.ONBOARD, TileSource.IMPORTED])
        flight_id = self.dice.random.choice(self.flight_ids) if source is TileSource.ONBOARD else None
        return TileId(
            ZOOM, self.dice.random.randint(30, 34), self.dice.random.randint(20, 22), source, flight_id
        )

    def _make_tile(self) -> tuple[bytes, TileMetadata]:
        body = self.dice.random.randbytes(self.dice.random.randint(50, 300))
        pixels = example_jpeg(body)
        sha256 = hashlib.sha256(pixels).hexdigest()
        if self.dice.chance(0.05):  # not what its hash says, or no JPEG
            wrong = bytearray(pixels)
            wrong[self.dice.random.choice([0, 10, len(pixels) - 1])] ^= 0x55
            pixels = bytes(wrong)
            sha256 = hashlib.sha256(pixels).hexdigest() if self.dice.chance(0.3) else sha256
        age = timedelta(days=self.dice.random.uniform(-1, 400))
        metadata = TileMetadata(
            tile_id=self._some_tile(),
            captured_at=START - age,
            content_sha256=sha256,
            disk_bytes=len(pixels),
            ground_sample_distance=1.0,
        )
        return pixels, metadata
