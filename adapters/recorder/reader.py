"""Reading a flight record: every whole line, also of files with damaged ones."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

import attrs

from ...domain.errors import StoreUnavailableError
from ...domain.flight_events import RecordEnvelope, Severity
from ...domain.ports.clock import Clock
from ..files.regular_file import open_regular
from .line_format import MAX_LINE_BYTES, RecordLine, decode_line
from .segments import segment_paths

_SEVERITIES = [severity.value for severity in Severity]
_NO_SEGMENT = frozenset({errno.EISDIR, errno.ELOOP, errno.EINVAL})


@attrs.frozen(kw_only=True)
class RecordFilter:
    """Which events to show; the default shows all."""

    kinds: tuple[str, ...] = ()
    """Shell patterns, e.g. `c6.freshness.*`; one of them must match. Empty: any kind."""
    minimum_severity: Severity = Severity.INFO
    """Severities unknown to this code are shown."""
    since: datetime | None = None
    until: datetime | None = None
    """Aware wall times; both ends are included."""

    def matches(self, envelope: RecordEnvelope) -> bool:
        """Whether to show the event."""
        if self.kinds and not any(fnmatchcase(envelope.kind, pattern) for pattern in self.kinds):
            return False
        if envelope.severity in _SEVERITIES[: _SEVERITIES.index(self.minimum_severity.value)]:
            return False
        if self.since is not None and envelope.wall_time < self.since:
            return False
        return self.until is None or envelope.wall_time <= self.until


@attrs.frozen
class DamagedLine:
    """A line that can't be read: torn by a power cut, or changed since.

    At offset 0 also a thing in a segment's place that is no regular file.
    """

    path: Path
    offset: int
    """Offset of the line's first byte."""
    reason: str


class RecordReader:
    """Reads one record: a folder of segments, oldest first, or a single file.

    Kinds and fields unknown to this code pass through. Damaged lines are skipped and counted. Reading needs
    memory for one line, and disturbs no writer. Raises `StoreUnavailableError` when there is no record at the
    path or the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[Path, tuple[int, int]] = {}
        """Of each file its inode, and where the next line begins."""
        self._refused: set[Path] = set()
        self.damaged_lines = 0
        self.first_damaged: DamagedLine | None = None

    def lines(self, matching: RecordFilter | None = None) -> Iterator[RecordLine]:
        """Every whole line that this reader has not returned yet, in the order of the files."""
        for path in self._paths():
            yield from self._matching(path, matching, writer_may_go_on=False)

    def follow(
        self,
        matching: RecordFilter | None = None,
        *,
        clock: Clock,
        stopped: Callable[[], bool],
        poll_interval_s: float = 0.2,
    ) -> Iterator[RecordLine]:
        """`lines`, and then new lines of any number of writers, until `stopped()`.

        An unfinished line is returned once its newline is there.
        """
        while True:
            # Asked before the files are read, so that lines from before the stop are still returned.
            stop = stopped()
            for path in self._paths():
                yield from self._matching(path, matching, writer_may_go_on=True)
            if stop:
                return
            clock.sleep(poll_interval_s)

    def _paths(self) -> list[Path]:
        try:
            return [self._path] if self._path.is_file() else segment_paths(self._path)
        except OSError as error:
            raise self._unavailable(error) from error

    def _matching(
        self, path: Path, matching: RecordFilter | None, *, writer_may_go_on: bool
    ) -> Iterator[RecordLine]:
        for offset, content in self._raw_lines(path, writer_may_go_on=writer_may_go_on):
            try:
                line = decode_line(content)
            except ValueError as error:
                self._note_damage(DamagedLine(path, offset, str(error)))
                continue
            if matching is None or matching.matches(line.envelope):
                yield line

    def _raw_lines(self, path: Path, *, writer_may_go_on: bool) -> Iterator[tuple[int, bytes]]:
        """Each line with its offset. A second call continues where the first ended.

        A record whose files were removed begins anew, with the name of its first file.
        """
        try:
            with os.fdopen(open_regular(path, follow=path == self._path), "rb") as file:
                status = os.fstat(file.fileno())
                inode, start = self._read.get(path, (0, 0))
                if inode != status.st_ino or start > status.st_size:
                    start = 0
                file.seek(start)
                while line := file.readline(MAX_LINE_BYTES):
                    if writer_may_go_on and len(line) < MAX_LINE_BYTES and not line.endswith(b"\n"):
                        return
                    end = start + len(line) + _skip_rest_of_line(file, line)
                    self._read[path] = status.st_ino, end
                    yield start, line
                    start = end
        except FileNotFoundError:
            # The oldest segments are deleted while others are being read.
            return
        except OSError as error:
            if error.errno not in _NO_SEGMENT:
                raise self._unavailable(error) from error
            if path not in self._refused:
                self._refused.add(path)
                self._note_damage(DamagedLine(path, 0, error.strerror or str(error)))

    def _note_damage(self, damaged: DamagedLine) -> None:
        self.damaged_lines += 1
        if self.first_damaged is None:
            self.first_damaged = damaged

    def _unavailable(self, error: OSError) -> StoreUnavailableError:
        where = error.filename or self._path
        return StoreUnavailableError(
            f"the flight record {where} can't be read: {error.strerror or error}",
            remedy="give the folder of a flight record, or one of its record-*.jsonl files",
        )


def read_record(path: Path) -> Iterator[RecordEnvelope]:
    """Every whole event of a record, oldest file first; `RecordReader` also reports damage."""
    for line in RecordReader(path).lines():
        yield line.envelope


def _skip_rest_of_line(file: BinaryIO, beginning: bytes) -> int:
    """Skip the rest of a line longer than a recorder writes; returns the number of bytes."""
    skipped = 0
    if len(beginning) == MAX_LINE_BYTES and not beginning.endswith(b"\n"):
        while rest := file.readline(MAX_LINE_BYTES):
            skipped += len(rest)
            if rest.endswith(b"\n"):
                break
    return skipped
