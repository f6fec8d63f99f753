"""Putting admitted tiles in place, one by one or as a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...domain.errors import StoreUnavailableError
from ...ext import GatedWrite, sync_file_system
from .disk_errors import disk_errors, store_unavailable
from .folders import FolderMaker, OpenFolder, open_again
from .layout import TilePath, sidecar_line, temporary_name


class StagedFile:
    """A `StagedTile`: bytes that passed the hash gate, and where they go. Nothing is on the disk yet."""

    __slots__ = ("_open_root", "_placement", "_sidecar_line", "path", "write")

    def __init__(
        self,
        write: GatedWrite,
        path: TilePath,
        content_sha256: str,
        placement: Placement,
        open_root: Callable[[], OpenFolder],
    ) -> None:
        self.write = write
        self.path = path
        self._sidecar_line = sidecar_line(content_sha256, path.name).encode("ascii")
        self._placement = placement
        self._open_root = open_root

    def target(self) -> tuple[str, str, str, str, str, bytes]:
        """What `GatedWrite` wants to know, with temporary names that were never used before."""
        path = self.path
        return (
            path.folder,
            path.name,
            temporary_name(path.name),
            path.sidecar_name,
            temporary_name(path.sidecar_name),
            self._sidecar_line,
        )

    def place(self) -> None:
        """See `StagedTile`. May be called again after `withdraw`."""
        self._placement.place(self._open_root(), self)

    def withdraw(self) -> None:
        """See `StagedTile`. Does nothing when nothing was placed."""
        self._placement.withdraw(self._open_root(), self)


class Placement:
    """Where staged files are put in place below one root. Any number of threads may use it."""

    def __init__(self, root_path: Path) -> None:
        self._root_path = root_path
        self._folders = FolderMaker()

    def place(self, root: OpenFolder, file: StagedFile) -> None:
        """Place one tile durably: file, sidecar, their folder and folders made on the way.

        Raises `StoreUnavailableError`; then neither file is there.
        """

        def write() -> None:
            self._folders.make(root, file.path.folder, durable=True)
            file.write.place(root.fileno(), file.target())

        with disk_errors("write tile file", self._root_path / file.path.tile):
            self._in_existing_folder(write)

    def place_many(self, root: OpenFolder, files: Sequence[StagedFile]) -> list[StoreUnavailableError | None]:
        """Place a batch durably: all temporaries, a sync, all renames, a sync.

        Entry i is why file i is not there, or None.
        """
        if not files:
            return []
        failures: list[StoreUnavailableError | None] = [None] * len(files)
        try:
            self._place_batch(root, files, failures)
        except BaseException:
            self._withdraw_quietly(root, files)
            raise
        return failures

    def _place_batch(
        self, root: OpenFolder, files: Sequence[StagedFile], failures: list[StoreUnavailableError | None]
    ) -> None:
        try:
            # Opened before the first write: it is this batch's errors that its syncs must report.
            batch = open_again(root)
        except OSError as error:
            failures[:] = [self._failure(file, error) for file in files]
            return
        self._each(files, failures, lambda file: self._write_temporaries(root, file))
        self._sync(root, batch, files, failures)
        self._each(files, failures, lambda file: file.write.rename(root.fileno()))
        self._sync(root, batch, files, failures)
        for file, failure in zip(files, failures, strict=True):
            if failure is None:
                self._folders.learn(file.path.folder)

    def _each(
        self,
        files: Sequence[StagedFile],
        failures: list[StoreUnavailableError | None],
        step: Callable[[StagedFile], None],
    ) -> None:
        """Do `step` for each file that has not failed yet, and note the failures."""
        for place, file in enumerate(files):
            if failures[place] is None:
                try:
                    step(file)
                except OSError as error:
                    failures[place] = self._failure(file, error)

    def _write_temporaries(self, root: OpenFolder, file: StagedFile) -> None:
        def write() -> None:
            self._folders.make(root, file.path.folder, durable=False)
            file.write.write_temporaries(root.fileno(), file.target())

        self._in_existing_folder(write)

    def _in_existing_folder(self, write: Callable[[], None]) -> None:
        """Do `write`; once more when a folder known to be there has vanished since."""
        try:
            write()
        except FileNotFoundError:
            self._folders.forget()
            write()

    def _sync(
        self,
        root: OpenFolder,
        batch: OpenFolder,
        files: Sequence[StagedFile],
        failures: list[StoreUnavailableError | None],
    ) -> None:
        """Sync the file system; when that fails, nothing of the batch can be trusted, and all of it goes."""
        if all(failure is not None for failure in failures):
            return
        try:
            sync_file_system(batch.fileno())
        except OSError as error:
            self._withdraw_quietly(root, files)
            for place, file in enumerate(files):
                failures[place] = failures[place] or self._failure(file, error)

    def withdraw(self, root: OpenFolder, file: StagedFile) -> None:
        """Remove what was placed unless others replaced it. Raises `StoreUnavailableError`."""
        with disk_errors("withdraw tile file", self._root_path / file.path.tile):
            file.write.withdraw(root.fileno())

    def _withdraw_quietly(self, root: OpenFolder, files: Sequence[StagedFile]) -> None:
        """Remove what can be removed on the way out with another error; the next open removes the rest."""
        for file in files:
            try:
                file.write.withdraw(root.fileno())
            except OSError:
                continue

    def _failure(self, file: StagedFile, error: OSError) -> StoreUnavailableError:
        failure = store_unavailable("write tile file", self._root_path / file.path.tile, error)
        failure.__cause__ = error
        return failure
