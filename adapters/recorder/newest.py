"""The newest events of a flight record, read from its newest file backwards."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import attrs

from ...domain.errors import StoreUnavailableError
from ...domain.flight_events import RecordEnvelope
from ...domain.ports.clock import Clock
from .reader import RecordFilter, RecordReader
from .segments import segment_paths


@attrs.frozen
class NewestEvents:
    """Events of a record, oldest first."""

    events: tuple[RecordEnvelope, ...]
    is_complete: bool
    """Whether there are no older ones that match."""
    damaged_lines: int
    """In the files that were read; a last line without its end is one that a writer goes on with."""


def newest_events(folder: Path, matching: RecordFilter, limit: int, clock: Clock) -> NewestEvents:
    """The `limit` newest events that match; files that are older than these are not read.

    A folder that is missing holds none. Raises `StoreUnavailableError` when the disk fails.
    """
    try:
        paths = segment_paths(folder) if folder.is_dir() else []
    except OSError as error:
        raise StoreUnavailableError(
            f"the flight record {folder} can't be read: {error.strerror or error}",
            remedy="check who may read it, and the disk",
        ) from error
    newest: list[RecordEnvelope] = []
    damaged_lines = 0
    for path in reversed(paths):
        reader = RecordReader(path)
        lines = reader.follow(matching, clock=clock, stopped=lambda: True)
        try:
            # One more than is wanted says that there are older ones.
            found = deque((line.envelope for line in lines), limit + 1 - len(newest))
        except StoreUnavailableError:
            if path.exists():
                raise
            continue  # the recorder removed its oldest file meanwhile
        damaged_lines += reader.damaged_lines
        newest[:0] = found
        if len(newest) > limit:
            return NewestEvents(tuple(newest[1:]), False, damaged_lines)
    return NewestEvents(tuple(newest), True, damaged_lines)
