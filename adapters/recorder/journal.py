"""Lines between queue and disk: batched, synced, and held while the disk fails."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
from pathlib import Path

from ...domain.ports.clock import Clock
from .segments import Segment, delete_oldest

_logger = logging.getLogger(__name__)
_MAX_PENDING_LINES = 1024
_MAX_PENDING_BYTES = 1 << 20
_MAX_UNSYNCED_BYTES = 4 << 20


class Journal:
    """The writing half of a record; for one thread. No method raises because of the disk.

    A line is pending until the operating system has taken all of it, and unsynced until a later fdatasync
    succeeds. While the disk fails, pending lines are held and tried again. Their number and size are bounded,
    so a caller of `add` asks `has_room` first. After a failed sync a new segment is begun, because it is
    unknown which pages of the old one reached the disk. The disk counts as failing from a refused write or
    sync until a sync succeeds with no line pending.
    """

    def __init__(
        self, folder: Path, *, clock: Clock, segment_bytes: int, max_total_bytes: int, sync_interval_s: float
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._max_total_bytes = max_total_bytes
        self._sync_interval_s = sync_interval_s
        self._segment: Segment | None = None
        self._begin_new_segment = False
        self._segment_ever_synced = False
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._unsynced_bytes = 0
        self._unsynced_since = 0.0
        self.lines_written = 0
        self.failures = 0
        self.last_error: str | None = None
        self.failing = False

    @property
    def pending_lines(self) -> int:
        """Lines that the operating system has not taken yet."""
        return len(self._pending)

    @property
    def has_room(self) -> bool:
        """Whether another line may be added."""
        return len(self._pending) < _MAX_PENDING_LINES and self._pending_bytes < _MAX_PENDING_BYTES

    def add(self, line: bytes) -> None:
        """Take a line, newline included."""
        self._pending.append(line)
        self._pending_bytes += len(line)

    def write(self) -> None:
        """Write every pending line, without a sync, as far as the disk allows."""
        try:
            while self._pending:
                self._append(self._segment_with_room(len(self._pending[0])))
        except OSError as error:
            if self._segment is not None:
                # The next attempt may use another segment, so the lines in this segment are made durable now.
                try:
                    self._segment.sync()
                except OSError:
                    self._begin_new_segment = self._segment_ever_synced
            self._fail(error)

    def seconds_to_sync(self) -> float:
        """How long the oldest unsynced line may still wait; infinite when there is none."""
        if not self._unsynced_bytes:
            return math.inf
        if self._unsynced_bytes >= _MAX_UNSYNCED_BYTES:
            return 0.0
        return max(0.0, self._unsynced_since + self._sync_interval_s - self._clock.monotonic())

    def sync(self) -> None:
        """Make every written line durable, as far as the disk allows."""
        if self._segment is None or not self._unsynced_bytes:
            return
        self._unsynced_bytes = 0
        try:
            self._segment.sync()
        except OSError as error:
            # One new segment is enough while the disk continues to fail.
            self._begin_new_segment = self._segment_ever_synced
            self._fail(error)
            return
        self._segment_ever_synced = True
        if self.failing and not self._pending:
            self.failing = False
            _logger.warning("the flight record in %s is written again", self._folder)

    def close(self) -> None:
        """Write and sync once more, then close the file."""
        self.write()
        self.sync()
        self._close_segment()

    def _segment_with_room(self, line_bytes: int) -> Segment:
        segment = self._opened()
        if segment.size and segment.size + line_bytes > self._segment_bytes:
            self.sync()
            self._close_segment()
            self._begin_new_segment = True
            segment = self._opened()
        return segment

    def _opened(self) -> Segment:
        if self._segment is None:
            delete_oldest(self._folder, self._max_total_bytes - self._segment_bytes)
            if self._begin_new_segment:
                self._segment = Segment.create(self._folder)
            else:
                self._segment = Segment.open_for_append(self._folder, self._segment_bytes)
            self._begin_new_segment = False
            self._segment_ever_synced = False
        return self._segment

    def _append(self, segment: Segment) -> None:
        """Write the pending lines that fit into the segment, at least one."""
        batch: list[bytes] = []
        size = segment.size
        for line in self._pending:
            if batch and size + len(line) > self._segment_bytes:
                break
            batch.append(line)
            size += len(line)
        content = memoryview(b"".join(batch))
        if not self._unsynced_bytes:
            self._unsynced_since = self._clock.monotonic()
        done = 0
        try:
            while done < len(content):
                taken = segment.append(content[done:])
                if taken == 0:
                    raise OSError(errno.EIO, "the disk took nothing")
                done += taken
        finally:
            self._unsynced_bytes += done
            self._forget_written(batch, done)

    def _forget_written(self, batch: list[bytes], written_bytes: int) -> None:
        # A partly written line stays pending. The fragment gets a newline when the segment is opened anew,
        # and readers count it as damaged.
        whole = 0
        for line in batch:
            if written_bytes < len(line):
                break
            written_bytes -= len(line)
            self._pending_bytes -= len(line)
            whole += 1
        del self._pending[:whole]
        self.lines_written += whole

    def _fail(self, error: OSError) -> None:
        self.failures += 1
        self.last_error = error.strerror or str(error)
        if not self.failing:
            self.failing = True
            _logger.warning(
                "the flight record in %s can't be written: %s; events are kept or counted until it can",
                self._folder,
                self.last_error,
            )
        self._close_segment()

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            # An error of close was reported by the write or sync before, or will be by the next one.
            with contextlib.suppress(OSError):
                segment.close()
