"""The parts of a simulated aircraft: dice, a disk, a database and a provider that fail as the dice fall.

Everything here is an in-memory adapter of the package with faults added in front of it, so the simulated code
is the real domain. Nothing reads a clock or the operating system's randomness: one seed is one flight.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import attrs

from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.adapters.memory.uploader import MemoryProvider
from aerotile.domain.errors import CommitOutcomeUnknownError, StoreUnavailableError
from aerotile.domain.values.inventory import FoundFile, TileInventory
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource, VotingStatus
from aerotile.domain.values.upload_reports import (
    BatchAnswer,
    ProblemKind,
    UploadBatch,
    UploadProblem,
    UploadReason,
)


class PowerCut(BaseException):
    """The aircraft lost its power; nothing that only memory held is left."""


def is_replaceable(tile: TileMetadataPersistent) -> bool:
    """What the specification lets an eviction take, in words of its own: the judge is not the judged."""
    only_here = tile.tile_id.source is TileSource.ONBOARD and tile.uploaded_at is None
    never_sent_again = tile.voting_status in (VotingStatus.REJECTED, VotingStatus.UPLOAD_GIVEUP)
    return not tile.pinned and (not only_here or never_sent_again)


class Dice:
    """The one source of chance of a flight. Cuts the power at a random call when `cuts` allow it."""

    def __init__(self, seed: int, *, fault_rate: float, cut_rate: float) -> None:
        self.random = random.Random(seed)
        self.fault_rate = fault_rate
        self.cut_rate = cut_rate
        self.powered = True
        self.calm = False
        """While True nothing fails: for looking at the world from outside."""
        self.faults = 0
        self.cuts = 0

    def step(self) -> None:
        """A moment at which the power may go. Whatever still runs afterwards gets nowhere."""
        if self.calm:
            return
        if self.powered and self.random.random() < self.cut_rate:
            self.powered = False
            self.cuts += 1
        if not self.powered:
            raise PowerCut

    def fault(self, what: str) -> None:
        """A moment at which `what` may fail. Raises `StoreUnavailableError`."""
        self.step()
        if not self.calm and self.random.random() < self.fault_rate:
            self.faults += 1
            raise StoreUnavailableError(f"simulated: {what} failed")

    def chance(self, probability: float) -> bool:
        """Whether something happens that has this probability."""
        return self.random.random() < probability


class SimulatedDisk(MemoryTileFiles):
    """Tile files whose placing is durable and whose removal is not until the power has stayed on.

    A removed file may be back after a power cut, a write may be cut between file and sidecar, and any call
    may fail.
    """

    def __init__(self, dice: Dice) -> None:
        super().__init__()
        self._dice = dice
        self._removed: dict[TileId, Any] = {}
        """Tiles whose removal a power cut may still undo."""

    def claim(self, store_id: UUID) -> UUID:
        self._dice.fault("claiming the folder")
        return super().claim(store_id)

    def place(self, staged: Any) -> None:
        self._dice.fault("placing a file")
        super().place(staged)
        tile_id: TileId = staged.tile_id
        self._removed.pop(tile_id, None)
        if not self._dice.calm and self._dice.chance(self._dice.cut_rate):
            # The cut came between the two renames.
            with self._lock:
                self._sidecars.pop(tile_id, None)
            self._dice.cut_rate, rate = 1.0, self._dice.cut_rate
            try:
                self._dice.step()
            finally:
                self._dice.cut_rate = rate
        self._dice.step()

    def withdraw(self, staged: Any) -> None:
        self._dice.fault("withdrawing a file")
        self._note_removed(staged.tile_id)
        super().withdraw(staged)

    def remove(self, tile_id: TileId) -> bool:
        self._dice.fault("removing a file")
        self._note_removed(tile_id)
        was_there = super().remove(tile_id)
        self._dice.step()
        return was_there

    def discard(self, found: FoundFile) -> bool:
        self._dice.fault("removing what was found")
        self._note_removed(found.tile_id)
        return super().discard(found)

    def open(self, tile_id: TileId, timeout_s: float | None = None) -> TilePixelHandle:
        self._dice.fault("reading a file")
        return super().open(tile_id, timeout_s)

    def content_sha256(self, tile_id: TileId) -> str:
        self._dice.fault("hashing a file")
        return super().content_sha256(tile_id)

    def restore_sidecar(self, tile_id: TileId, content_sha256: str) -> None:
        self._dice.fault("writing a sidecar")
        super().restore_sidecar(tile_id, content_sha256)

    def inventory(self) -> TileInventory:
        self._dice.fault("listing the folders")
        return super().inventory()

    def power_returns(self) -> None:
        """What the disk holds after a cut: some removals never reached it."""
        with self._lock:
            for tile_id, tile in self._removed.items():
                if self._dice.chance(0.5):
                    self._tiles.setdefault(tile_id, tile)
            self._removed.clear()

    def sync(self) -> None:
        """Time has passed: what was removed is gone for good."""
        self._removed.clear()

    def damage(self, tile_id: TileId) -> None:
        """Let a byte of a tile rot."""
        with self._lock:
            tile = self._tiles[tile_id]
            place = self._dice.random.randrange(3, len(tile.pixels) - 2)
            rotten = bytearray(tile.pixels)
            rotten[place] ^= 1 << self._dice.random.randrange(8)
            self._tiles[tile_id] = attrs.evolve(tile, pixels=bytes(rotten))

    def _note_removed(self, tile_id: TileId) -> None:
        with self._lock:
            if tile_id in self._tiles:
                self._removed[tile_id] = self._tiles[tile_id]


class SimulatedDatabase(MemoryTileRows):
    """Rows that are durable once committed, behind a connection that may be lost at any step."""

    def __init__(self, dice: Dice, *, disk_budget_bytes: int, now: Callable[[], datetime]) -> None:
        super().__init__(disk_budget_bytes=disk_budget_bytes, now=now)
        self._dice = dice
        self.wrongly_evicted: list[TileMetadataPersistent] = []
        self.removed: set[TileId] = set()
        """Every tile whose row was removed since somebody cleared this."""
        self.deleting: TileId | None = None
        """The tile that somebody asked to delete; every other removal is an eviction."""

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self._dice.fault("the database")
        with super()._answering():
            yield

    def add(self, inserted: Mapping[TileId, TileMetadataPersistent]) -> None:
        self._dice.fault("sending COMMIT")
        super().add(inserted)
        self._lose_the_answer("a commit")

    @contextmanager
    def removing(self, tile_id: TileId, **how: bool) -> Iterator[int | None]:
        row = self._committed.get(tile_id)
        with super().removing(tile_id, **how) as freed:
            if row is not None and freed is not None and tile_id != self.deleting and not is_replaceable(row):
                self.wrongly_evicted.append(row)
            if row is not None and freed is not None:
                self.removed.add(tile_id)
            self._lose_the_answer("a removal")
            yield freed

    def mark_files_missing(self, tile_ids: Iterable[TileId], at: datetime) -> None:
        self._dice.step()
        super().mark_files_missing(tile_ids, at)

    def rows_as_they_are(self) -> dict[TileId, TileMetadataPersistent]:
        """Every committed row, seen from outside the simulation."""
        return dict(self._committed)

    def total_as_it_is(self) -> int:
        """The running total, seen from outside the simulation."""
        return self._usage.disk_bytes

    def _lose_the_answer(self, of_what: str) -> None:
        self._dice.step()
        if not self._dice.calm and self._dice.chance(self._dice.fault_rate / 2):
            self._dice.faults += 1
            raise CommitOutcomeUnknownError(f"simulated: the answer to {of_what} was lost")


class SimulatedProvider(MemoryProvider):
    """A provider at the other end of a link that breaks before, during and after a request."""

    def __init__(self, dice: Dice) -> None:
        super().__init__()
        self._dice = dice
        self.sent_after_the_end: list[TileMetadataPersistent] = []
        self.ended: Callable[[TileMetadataPersistent], bool] = lambda tile: False
        """Whether a tile must not be sent any more; asked for each tile that arrives."""

    def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
        self._dice.step()
        self.sent_after_the_end += [t.metadata for t in batch.tiles if self.ended(t.metadata)]
        if not self._dice.calm and self._dice.chance(self._dice.fault_rate * 3):
            self._dice.faults += 1
            kind = self._dice.random.choice(list(ProblemKind))
            retry_after_s = self._dice.random.choice([None, None, 0.0, 5.0, 3600.0])
            self.troubles.append(
                UploadProblem(
                    kind=kind, reason=UploadReason("simulated", kind.value), retry_after_s=retry_after_s
                )
            )
            self.stores_first = self._dice.chance(0.5)
        answer = super().begin(batch)
        self._dice.step()
        return lambda: self._garbled(answer())

    def _garbled(self, answer: BatchAnswer) -> BatchAnswer:
        """The answer, or at times one that claims to hold other bytes than were sent."""
        if self._dice.calm or not self._dice.chance(self._dice.fault_rate * 3):
            return answer
        self._dice.faults += 1
        answers = {
            tile_uuid: attrs.evolve(said, stored_sha256=said.stored_sha256 and "0" * 64)
            for tile_uuid, said in answer.answers.items()
        }
        return attrs.evolve(answer, answers=answers)
