"""What goes on in a process while one of its threads hangs in a write."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from disk_worker import Operation
from small_store import SmallStore, tile

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader
from aerotile.domain.flight_events import EventKind, FlightEvent
from aerotile.ext import MappedPixels

TILES = 40
QUEUE = 500
PATIENCE_S = 60.0


def until_it_hangs(thread: threading.Thread) -> None:
    """Return when the thread waits for the disk and can't be interrupted."""
    deadline = time.monotonic() + PATIENCE_S
    stat = Path(f"/proc/self/task/{thread.native_id}/stat")
    seen = 0
    while seen < 20:
        assert time.monotonic() < deadline, "it does not hang"
        assert thread.is_alive(), "it did not hang"
        seen = seen + 1 if stat.read_text().rpartition(")")[2].split()[0] == "D" else 0
        time.sleep(0.01)


class Writes(Operation):
    """One tile, or a batch, is written by a thread."""

    def __init__(self, store: SmallStore) -> None:
        self.store = store
        self.errors: list[object] = []
        self.number = 10

    def write(self, number: int) -> None:
        self.errors.append(self.store.write(number, 1))

    def do(self) -> None:
        self.number += 1
        self.thread = threading.Thread(target=self.write, args=(self.number,), daemon=True)
        self.thread.start()
        until_it_hangs(self.thread)

    def check(self) -> None:
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        assert self.errors == [None] * len(self.errors)
        self.store.assert_whole()

    def undo(self) -> None:
        assert self.thread.is_alive(), "the write did not hang after all"


class BatchWrites(Writes):
    def write(self, number: int) -> None:
        self.errors += self.store.write_batch(number + 1000, 5)


class SlowWrites(Writes):
    """Tile after tile is written by a thread, until all are."""

    def write(self, number: int) -> None:
        for further in range(4):
            super().write(100 + 10 * number + further)

    def do(self) -> None:
        self.number += 1
        self.thread = threading.Thread(target=self.write, args=(self.number,), daemon=True)
        self.thread.start()


class Reads(Operation):
    """Tiles that were read before, and tiles that nobody has read since they were written."""

    def __init__(self, store: SmallStore) -> None:
        self.store = store
        self.in_memory: list[MappedPixels] = []

    def prepare(self) -> None:
        for y in range(TILES):
            assert self.store.write(1, y) is None
            kept = self.store.files.open(tile(1, y)[1].tile_id)
            kept.lock()  # some kernels reclaim at any time what looks cold
            self.in_memory.append(kept)
        for y in range(0, TILES, 2):
            self.store.store.read_tile_pixels(tile(1, y)[1].tile_id).close()

    def do(self) -> None:
        for y in range(TILES):
            pixels, metadata = tile(1, y)
            with self.store.store.read_tile_pixels_within(metadata.tile_id, PATIENCE_S) as handle:
                assert bytes(memoryview(handle)) == pixels
            assert self.store.store.tile_exists(metadata.tile_id)
            assert self.store.store.read_tile_bytes(metadata.tile_id) == pixels


class Records(Operation):
    """A recorder over the same disk is given far more than its queue holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "record"

    def prepare(self) -> None:
        self.recorder = JsonLinesRecorder(
            self.folder, clock=SystemClock(), queue_size=QUEUE, sync_interval_s=0.01, retry_interval_s=0.02
        )
        self.recorded = 0
        self.record(10)

    def record(self, count: int) -> None:
        for _ in range(count):
            self.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": self.recorded}))
            self.recorded += 1

    def do(self) -> None:
        """Returns, although the writer hangs and the queue is full."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.recorder.status().dropped:
            assert time.monotonic() < deadline, "the writer does not hang"
            self.record(1)
        dropped = self.recorder.status().dropped
        self.record(1000)
        assert self.recorder.status().dropped == dropped + 1000

    def check(self) -> None:
        self.recorder.close(PATIENCE_S)
        envelopes = [line.envelope for line in RecordReader(self.folder).lines()]
        numbers = [e.payload["number"] for e in envelopes if e.kind != "c0.recorder.dropped"]
        counted = sum(e.payload["dropped"] for e in envelopes if e.kind == "c0.recorder.dropped")
        assert numbers == sorted(set(numbers))
        assert counted == self.recorder.status().dropped == self.recorded - len(numbers)


class ClosesRecorder(Operation):
    """While its writer hangs, a recorder is closed within the time that it is given."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def do(self) -> None:
        self.records.recorder.close(0.1)


def operations(folder: Path) -> dict[str, Operation]:
    store = SmallStore(folder / "tiles")
    records = Records(folder)
    return {
        "write": Writes(store),
        "batch": BatchWrites(store),
        "slow writes": SlowWrites(store),
        "read": Reads(store),
        "record": records,
        "close recorder": ClosesRecorder(records),
    }
