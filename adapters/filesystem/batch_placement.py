"""The state of a batch that is being placed: the files in folder order, and why some of them failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...domain.errors import StoreUnavailableError
from .errors import store_unavailable
from .staged_file import StagedFile


def folder_by_folder(files: Sequence[StagedFile]) -> list[int]:
    """The positions of all files, sorted by folder: threads in the same folder wait for each other."""
    return sorted(range(len(files)), key=lambda position: files[position].path.folder)


class PlacedBatch:
    """The files of one batch. Not safe for threads."""

    def __init__(self, root_path: Path, files: Sequence[StagedFile]) -> None:
        self._root_path = root_path
        self.files = files
        self.failures: list[StoreUnavailableError | None] = [None] * len(files)
        self.apart: list[int] = []
        """The positions of files on other file systems than the root's, which are placed alone at the end."""
        self._in_order = folder_by_folder(files)

    def take_over(self, errors: Mapping[StagedFile, OSError | None]) -> list[int]:
        """Note which prewrites failed, and return the positions of the files that were not prewritten."""
        for position in self._in_order:
            error = errors.get(self.files[position])
            if error is not None:
                self.fail([position], error)
        return [position for position in self._in_order if self.files[position] not in errors]

    def left(self) -> list[int]:
        """The positions of the files that have not failed and are not set apart, folder by folder."""
        apart = set(self.apart)
        return [p for p in self._in_order if self.failures[p] is None and p not in apart]

    def fail(self, positions: Iterable[int], error: OSError) -> None:
        """Note that the files at `positions` failed because of `error`."""
        for position in positions:
            path = self._root_path / self.files[position].path.tile
            failure = store_unavailable("write tile file", path, error)
            # Without its traceback: that holds the batch, and with it this error and the folder's descriptor.
            failure.__cause__ = error.with_traceback(None)
            self.failures[position] = failure
