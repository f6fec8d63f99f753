"""A file under a temporary name, which gets its own when it is whole."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from ..files.durable_folder import sync_folder
from ..files.regular_file import open_regular
from ..files.temporary_file import refuse_taken, temporary_file

_MODE = 0o644


class PartialFile:
    """The new, empty file `path` beside its final name, which one writer has at a time.

    What is locked is a file of its own: over NFS and SMB, flock on a file shuts out each other descriptor of
    it (flock(2)), such as SQLite's.
    """

    def __init__(self, final: Path) -> None:
        """What a crash left at `path` is removed. Raises `OSError`."""
        self.final = final
        self.path = final.with_name(f".{final.name}.partial")
        with ExitStack() as ending:
            ending.enter_context(temporary_file(final.with_name(f".{final.name}.lock"), _MODE, target=final))
            refuse_taken(final)
            with suppress(FileNotFoundError):
                self.path.unlink()
            self._descriptor = open_regular(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode=_MODE)
            ending.callback(self._remove)
            self._ending = ending.pop_all()

    def publish(self) -> None:
        """Sync the file and give it its name, durably."""
        os.fsync(self._descriptor)
        self.path.rename(self.final)
        sync_folder(self.final.parent)

    def close(self) -> None:
        """Remove the file, unless it has its name."""
        self._ending.close()

    def _remove(self) -> None:
        with suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)
