"""A file under a temporary name, which gets its own when it is whole."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from ..files.durable_folder import sync_folder
from ..files.temporary_file import refuse_taken, temporary_file

_MODE = 0o644


class PartialFile:
    """The new, empty file `path` beside its final name, which one writer has at a time."""

    def __init__(self, final: Path) -> None:
        """What a crash left at `path` is removed. Raises `OSError`."""
        self.final = final
        self.path = final.with_name(f".{final.name}.partial")
        with ExitStack() as ending:
            self._descriptor = ending.enter_context(temporary_file(self.path, _MODE, target=final))
            refuse_taken(final)
            self._ending = ending.pop_all()

    def publish(self) -> None:
        """Sync the file and give it its name, durably."""
        os.fsync(self._descriptor)
        self.path.rename(self.final)
        sync_folder(self.final.parent)

    def close(self) -> None:
        """Remove the file, unless it has its name."""
        self._ending.close()
