"""What the flight recorder does to its files, on a thread of its own."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from disk_worker import Operation

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader
from aerotile.domain.flight_events import EventKind, FlightEvent

BURSTS = 12
EVENTS_PER_BURST = 20
SEGMENT_BYTES = 8192
PATIENCE_S = 60.0


class Record(Operation):
    """A flight's events, burst by burst, over several segments."""

    def __init__(self, folder: Path) -> None:
        self.base = folder

    def prepare(self) -> None:
        shutil.rmtree(self.base / "deep", ignore_errors=True)
        self.folder = self.base / "deep" / "record"

    def do(self) -> str:
        self.recorder = JsonLinesRecorder(
            self.folder,
            clock=SystemClock(),
            sync_interval_s=0.0,  # so that the disk sees as many writes and syncs as there are bursts
            retry_interval_s=0.02,
            segment_bytes=SEGMENT_BYTES,
            max_total_bytes=1 << 30,
        )
        self.recorded = 0
        for _ in range(BURSTS):
            for _ in range(EVENTS_PER_BURST):
                self.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": self.recorded}))
                self.recorded += 1
            self._until_taken_or_refused()
        status = self.recorder.status()
        return json.dumps({"failures": status.failures, "error": status.last_error})

    def _until_taken_or_refused(self) -> None:
        """However late the writer gets to it, each burst is one that the disk has seen."""
        deadline = time.monotonic() + PATIENCE_S
        while (status := self.recorder.status()).written < self.recorded and not status.failing:
            assert time.monotonic() < deadline, status
            time.sleep(0.001)

    def check(self) -> None:
        """The fault is over: every event is there, once and in order, or counted."""
        self.recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": self.recorded}))
        self.recorded += 1  # with which it finds out that the disk is well again
        deadline = time.monotonic() + PATIENCE_S
        while self.recorder.status().failing or self.recorder.status().written < self.recorded:
            assert time.monotonic() < deadline, self.recorder.status()
            time.sleep(0.005)
        self.recorder.close()
        assert self.recorder.status().dropped == 0
        reader = RecordReader(self.folder)
        numbers = [line.envelope.payload["number"] for line in reader.lines()]
        assert numbers == list(range(self.recorded)), sorted(set(range(self.recorded)) ^ set(numbers))
        empty = [path.name for path in self.folder.iterdir() if not path.stat().st_size]
        assert not empty, empty

    def undo(self) -> None:
        shutil.rmtree(self.base / "deep")


def operations(folder: Path) -> dict[str, Operation]:
    return {"record": Record(folder)}
