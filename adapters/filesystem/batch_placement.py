"""A batch of files on their way: what is written ahead of its rows, and why some of them failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING

from ...domain.errors import StoreUnavailableError
from ...ext import sync_file_system
from .errors import store_unavailable
from .folders import OpenFolder

if TYPE_CHECKING:
    from .placement import StagedFile


def folder_by_folder(files: Sequence[StagedFile]) -> list[int]:
    """The places of all files. A slice is one thread's: threads in the same folder wait for each other."""
    return sorted(range(len(files)), key=lambda place: files[place].path.folder)


class Prewritten:
    """Files whose temporaries are written and synced while their rows are inserted."""

    descriptor: OpenFolder
    """Opened before the first of them was written."""

    def __init__(self) -> None:
        self.working: list[tuple[Sequence[StagedFile], Future[list[OSError | None]]]] = []
        self.synced: Future[OSError | None] | None = None

    def sync(self) -> OSError | None:
        """Sync the file system once all is written; why that failed."""
        wait([done for _, done in self.working])
        try:
            sync_file_system(self.descriptor.fileno())
        except OSError as error:
            return error
        return None

    def sync_error(self) -> OSError | None:
        """Wait until what was written is on the disk; why it is not."""
        return None if self.synced is None else self.synced.result()

    def wait(self) -> None:
        """Wait until nobody is in the middle of anything."""
        wait([done for _, done in self.working])
        if self.synced is not None:
            wait([self.synced])

    def errors(self) -> dict[StagedFile, OSError | None]:
        """Why a file could not be written, or None, once all were tried. Raises what stopped a thread."""
        tried = [(some, done.result()) for some, done in self.working]
        return {file: error for some, errors in tried for file, error in zip(some, errors, strict=True)}


class PlacedBatch:
    """Files on their way, and why some of them failed."""

    def __init__(self, root_path: Path, files: Sequence[StagedFile]) -> None:
        self._root_path = root_path
        self.files = files
        self.failures: list[StoreUnavailableError | None] = [None] * len(files)
        self._in_order = folder_by_folder(files)

    def take_over(self, errors: Mapping[StagedFile, OSError | None]) -> list[int]:
        """Note which files could not be written ahead, and return the places of those that nobody tried."""
        for place in self._in_order:
            error = errors.get(self.files[place])
            if error is not None:
                self.fail([place], error)
        return [place for place in self._in_order if self.files[place] not in errors]

    def left(self) -> list[int]:
        """The places of the files that have not failed, folder by folder."""
        return [place for place in self._in_order if self.failures[place] is None]

    def fail(self, places: Iterable[int], error: OSError) -> None:
        """Note that the files at `places` failed because of `error`."""
        for place in places:
            path = self._root_path / self.files[place].path.tile
            failure = store_unavailable("write tile file", path, error)
            # Without its traceback: that holds the batch, and with it this error and the folder's descriptor.
            failure.__cause__ = error.with_traceback(None)
            self.failures[place] = failure
