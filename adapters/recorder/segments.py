"""The files of a flight record: `record-000001.jsonl`, `record-000002.jsonl`, ... in one folder.

Each segment has at most one writer, which holds an advisory lock on the segment. Several processes may write
one record, each into a segment of its own. Methods and functions raise `OSError`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from pathlib import Path

from ..files.durable_folder import make_folder_durably, sync_folder
from ..files.file_lock import lock_open_file
from ..files.regular_file import open_regular

_logger = logging.getLogger(__name__)
_APPEND = os.O_RDWR | os.O_APPEND
_NAME = re.compile(r"record-([0-9]{6,18})\.jsonl")


def segment_paths(folder: Path) -> list[Path]:
    """The segments of a record, oldest first."""
    found = {entry: _NAME.fullmatch(entry.name) for entry in folder.iterdir()}
    return sorted((path for path, match in found.items() if match), key=segment_number)


def segment_number(path: Path) -> int:
    """The number in a segment's name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is not a segment of a flight record")
    return int(match[1])


class Segment:
    """One segment, opened and locked for appending."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor

    @classmethod
    def open_for_append(cls, folder: Path, max_bytes: int) -> Segment:
        """Open the newest segment, or a new one when the newest is full or in use."""
        make_folder_durably(folder, 0o750)
        paths = segment_paths(folder)
        if paths:
            segment = cls.adopt(paths[-1])
            if segment is not None and segment.size < max_bytes:
                segment._continue(folder)
                return segment
            if segment is not None:
                segment.close()
        return cls.create(folder)

    @classmethod
    def create(cls, folder: Path) -> Segment:
        """Create the next segment, with a durable name; the folder too, where it was removed."""
        make_folder_durably(folder, 0o750)
        paths = segment_paths(folder)
        number = segment_number(paths[-1]) + 1 if paths else 1
        while True:
            path = folder / f"record-{number:06d}.jsonl"
            try:
                descriptor = open_regular(path, _APPEND | os.O_CREAT | os.O_EXCL, mode=0o640)
            except FileExistsError:
                number += 1
                continue
            try:
                if lock_open_file(descriptor):
                    sync_folder(folder)
                    return cls(path, descriptor)
                # Another writer locked the file in the instant since it was made.
                os.close(descriptor)
            except BaseException:
                # A disk that continues to fail must not get an empty file with every attempt.
                with contextlib.suppress(OSError):
                    if os.fstat(descriptor).st_size == 0:
                        path.unlink()
                os.close(descriptor)
                raise

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """Open and lock an existing segment.

        None when another writer holds the segment, it was just deleted, or it can't be opened, e.g. because
        it is another user's or no regular file. The record then continues in another segment.
        """
        try:
            descriptor = open_regular(path, _APPEND)
        except OSError:
            return None
        try:
            if lock_open_file(descriptor) and os.fstat(descriptor).st_nlink > 0:
                return cls(path, descriptor)
        except OSError:
            pass
        os.close(descriptor)
        return None

    def _continue(self, folder: Path) -> None:
        """End an unfinished line of the last writer, and make the file's name durable.

        The last writer may have died before it made the name durable itself.
        """
        try:
            sync_folder(folder)
            if self.size and os.pread(self._descriptor, 1, self.size - 1) != b"\n":
                self.size += os.write(self._descriptor, b"\n")
        except BaseException:
            self.close()
            raise

    def append(self, content: bytes | memoryview) -> int:
        """Write at the end; returns the number of bytes written, which may be fewer than given."""
        written = os.write(self._descriptor, content)
        self.size += written
        return written

    def sync(self) -> None:
        """Make the appended bytes durable. Raises `OSError`, also when the file was removed."""
        os.fdatasync(self._descriptor)
        if os.fstat(self._descriptor).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "its file was removed", str(self.path))

    def close(self) -> None:
        """Close the file, which ends its lock; does not sync."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def delete_oldest(folder: Path, max_total_bytes: int) -> None:
    """Delete segments, oldest first, until the others have at most `max_total_bytes`.

    A segment that a writer holds, or that this process may not delete, stays.
    """
    sizes = []
    for path in segment_paths(folder) if folder.exists() else []:
        # Another process may delete the same segments.
        with contextlib.suppress(FileNotFoundError):
            sizes.append((path, path.lstat().st_size))
    excess = sum(size for _, size in sizes) - max_total_bytes
    for path, size in sizes:
        if excess <= 0:
            return
        segment = Segment.adopt(path)
        if segment is None:
            continue
        try:
            path.unlink(missing_ok=True)
            excess -= size
        except OSError as error:
            # Recording matters more than the bound; the next segment tries again.
            _logger.warning("the old flight record %s can't be deleted: %s", path, error.strerror)
        finally:
            segment.close()
