"""A file under a temporary name, which gets its own when it is whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..files.durable_folder import sync_folder


class PartialFile:
    """`path` beside its final name; what a crash left there is removed first. Raises `OSError`."""

    def __init__(self, final: Path) -> None:
        if final.exists():
            raise FileExistsError(17, "there is something of that name, and it is not replaced", str(final))
        self.final = final
        self.path = final.with_name(f".{final.name}.partial")
        self.discard()

    def publish(self) -> None:
        """Sync the file and give it its name, durably."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.path.rename(self.final)
        sync_folder(self.final.parent)

    def discard(self) -> None:
        """Remove the file, and the journal that a database may have beside it."""
        for name in (self.path, self.path.with_name(self.path.name + "-journal")):
            with suppress(FileNotFoundError):
                name.unlink()
