"""Tiles that passed the hash gate and are not placed yet: one, and a batch that is being written ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from ...domain.ports.tile_files import StagedTile
from ...ext import GatedWrite, sync_file_system
from .batch_threads import Task
from .folders import OpenFolder
from .layout import TilePath, second_name, sidecar_line, temporary_name

Target: TypeAlias = tuple[str, str, str, str, str, bytes]
"""The arguments of `GatedWrite`: folder, name, temporary name, both of the sidecar, the sidecar's line."""


class StagedFile(StagedTile):
    """See `StagedTile`: bytes that passed the hash gate, and the path for them."""

    __slots__ = ("_content_sha256", "_sidecar_line", "path", "prewritten", "target_ahead", "write")

    def __init__(self, write: GatedWrite, path: TilePath, content_sha256: str) -> None:
        self.write = write
        self.path = path
        self.target_ahead: Target | None = None
        """The target that the bytes were prewritten for, which the `place` that follows must use too."""
        self.prewritten: PrewrittenBatch | None = None
        """The batch that this file is prewritten with."""
        self._content_sha256 = content_sha256
        self._sidecar_line = sidecar_line(content_sha256, path.name).encode("ascii")

    def target(self) -> Target:
        """A target with temporary names that were never used before."""
        folder, name, sidecar = self.path.folder, self.path.name, self.path.sidecar_name
        return (
            folder,
            name,
            temporary_name(name),
            sidecar,
            temporary_name(sidecar),
            self._sidecar_line,
        )

    def target_beside(self) -> Target:
        """A target under the tile's second name."""
        folder, name, temporary, sidecar, sidecar_temporary, line = self.target()
        second = second_name(name, self._content_sha256)
        return (folder, second, temporary, sidecar, sidecar_temporary, line)


class PrewrittenBatch:
    """Files whose temporaries are written and synced while their rows are inserted."""

    descriptor: OpenFolder
    """Opened before the first write, so that its sync reports the errors of every write."""

    def __init__(self) -> None:
        self.writing: list[tuple[Sequence[StagedFile], Task[list[OSError | None]]]] = []
        """Slices of the batch; each task returns the error of each file of its slice."""
        self.synced: Task[OSError | None] | None = None

    def sync(self) -> OSError | None:
        """Sync the file system once every slice is written; returns why that failed."""
        for _, task in self.writing:
            task.wait()
        try:
            sync_file_system(self.descriptor.fileno())
        except OSError as error:
            return error
        return None

    def sync_error(self) -> OSError | None:
        """Wait until the temporaries are on the disk; returns why they are not."""
        return None if self.synced is None else self.synced.result()

    def stop(self) -> None:
        """Wait until no thread works on this batch; what no thread has begun is not done."""
        for _, task in self.writing:
            task.stop()
        if self.synced is not None:
            self.synced.stop()

    def errors(self) -> dict[StagedFile, OSError | None]:
        """The error of each file that was tried, or None. Waits; raises what stopped a thread."""
        tried = [(files, task.result()) for files, task in self.writing]
        return {file: error for files, errors in tried for file, error in zip(files, errors, strict=True)}
