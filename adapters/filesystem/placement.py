"""Placing staged files below the root, one by one or as a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...domain.errors import StoreUnavailableError
from ...domain.ports.tile_rows import AwaitedInsert
from ...ext import AwaitedInsert as CompiledAwaitedInsert
from ...ext import GatedWrite, add_sidecars, rename_all, sync_file_system, write_temporaries
from .batch_placement import PlacedBatch, folder_by_folder
from .batch_threads import BatchThreads, Task
from .disk import Disk
from .errors import disk_errors, store_unavailable
from .folders import FolderMaker, OpenFolder, device_of, open_again, open_below
from .staged_file import PrewrittenBatch, StagedFile

T = TypeVar("T")
U = TypeVar("U")

_SMALLEST_SLICE = 8
"""A slice of fewer files is written faster than another thread is woken."""
_LONGEST_WAIT_MS = 1_000
"""How long a prewrite waits for another's answer; the caller waits on, with a limit of its own."""
_SLICES_PER_THREAD = 4
"""More than one: a thread that the disk delays leaves its remaining slices to the others."""


class Placement:
    """Places staged files below one root. Any number of threads may use it.

    `disk` is that of the root. All batches share `threads` threads.
    """

    def __init__(self, root_path: Path, *, disk: Disk, threads: int) -> None:
        self._root_path = root_path
        self._disk = disk
        self._threads = threads
        self._folders = FolderMaker()
        self._batch_threads = BatchThreads(threads)

    def prewrite(self, root: OpenFolder, file: StagedFile, awaited: AwaitedInsert | None) -> None:
        """Write the bytes to unlinked files; then wait for the answer to `awaited`.

        They are linked where that answer says that the row is inserted, and the row is committed then; else
        `place` links them.

        Does nothing in a folder that is not known to exist, which `place` makes, and on a disk where files
        without a name are not safe.
        """
        if self._disk.prewriting_device and self._folders.knows(file.path.folder):
            file.target_ahead = file.target()
            file.write.prewrite(
                root.descriptor,
                file.target_ahead,
                self._disk.prewriting_device,
                self._disk.name_syncing_device,
                awaited if isinstance(awaited, CompiledAwaitedInsert) else None,
                _LONGEST_WAIT_MS,
            )

    def place(self, root: OpenFolder, file: StagedFile) -> None:
        """Place one tile durably: file, sidecar, their folder and the parents that were made for it.

        Raises `StoreUnavailableError`; then neither file is there.
        """

        def place() -> None:
            target, file.target_ahead = file.target_ahead or file.target(), None
            file.write.place(root.descriptor, target, self._disk.name_syncing_device)

        self._in_folder(root, file, place)

    def place_beside(self, root: OpenFolder, file: StagedFile) -> None:
        """See `TileFiles`. Raises `StoreUnavailableError`."""

        def place() -> None:
            file.write.place_alone(root.descriptor, file.target_beside(), self._disk.name_syncing_device)

        self._in_folder(root, file, place)

    def _in_folder(self, root: OpenFolder, file: StagedFile, place: Callable[[], None]) -> None:
        """Make the file's folder durably where it is missing, and place the file in it."""
        folder = file.path.folder
        try:
            try:
                self._folders.make(root, folder, durable=True)
                place()
            except FileNotFoundError:  # a folder that was known to exist has vanished since
                self._folders.forget()
                self._folders.make(root, folder, durable=True)
                place()
        except OSError as error:
            raise store_unavailable("write tile file", self._root_path / file.path.tile, error) from error

    @contextmanager
    def prewriting(self, open_root: Callable[[], OpenFolder], files: Sequence[StagedFile]) -> Iterator[None]:
        """See `TileFiles`."""
        batch = PrewrittenBatch()
        try:
            self._begin_prewriting(open_root, files, batch)
            yield
        finally:
            batch.stop()
            left = [file for file in files if file.write.has_temporaries]
            if left:
                self._withdraw_quietly(open_root(), left)
            for file in files:
                file.prewritten = None

    def _begin_prewriting(
        self, open_root: Callable[[], OpenFolder], files: Sequence[StagedFile], batch: PrewrittenBatch
    ) -> None:
        # A few files are written faster than threads are woken for them.
        if len(files) < 2 * _SMALLEST_SLICE:
            return
        try:
            root = open_root()
            batch.descriptor = open_again(root)
        except (OSError, StoreUnavailableError):
            return
        in_order = [files[position] for position in folder_by_folder(files)]
        batch.writing = [
            (some, Task(partial(self._write_temporaries, root, some))) for some in self._slices(in_order)
        ]
        batch.synced = Task(batch.sync)
        # In this order: a thread that syncs waits for slices which others have begun.
        self._batch_threads.begin([*(task for _, task in batch.writing), batch.synced])
        for file in files:
            file.prewritten = batch

    def place_many(self, root: OpenFolder, files: Sequence[StagedFile]) -> list[StoreUnavailableError | None]:
        """Place a batch durably: all temporaries, a sync, all renames, a sync, then the sidecars.

        The syncs are of the root's file system: a tile on another one, mounted below it, is placed alone.
        Entry i is why file i is not there, or None.
        """
        if not files:
            return []
        batch = PlacedBatch(self._root_path, files)
        try:
            self._place_batch(root, batch)
        except BaseException:
            self._withdraw_quietly(root, files)
            raise
        return batch.failures

    def _place_batch(self, root: OpenFolder, batch: PlacedBatch) -> None:
        ahead = next((file.prewritten for file in batch.files if file.prewritten is not None), None)
        try:
            # Opened before the first write, so that its syncs report the errors of every write.
            descriptor = open_again(root) if ahead is None else ahead.descriptor
        except OSError as error:
            batch.fail(range(len(batch.files)), error)
            return
        unwritten = batch.left() if ahead is None else batch.take_over(ahead.errors())
        failed = None if ahead is None else ahead.sync_error()
        if failed is not None:
            self._distrust(root, batch, failed)
            return
        self._step(batch, unwritten, lambda files: self._write_temporaries(root, files))
        self._set_apart_elsewhere(root, batch)
        if unwritten:
            self._sync(root, descriptor, batch)
        self._step_or_withdraw(root, batch, rename_all)
        self._sync(root, descriptor, batch)
        unnamed = self._disk.prewriting_device != 0
        self._step_or_withdraw(root, batch, partial(add_sidecars, unnamed=unnamed))
        for folder in {batch.files[position].path.folder for position in batch.left()}:
            self._folders.learn(folder)
        self._place_apart(root, batch)

    def _set_apart_elsewhere(self, root: OpenFolder, batch: PlacedBatch) -> None:
        """Withdraw the temporaries on other file systems than the root's, for `_place_apart`."""
        device = device_of(root)
        for position in batch.left():
            file = batch.files[position]
            if file.write.device == device:
                continue
            try:
                # A file of an overlay may show the device of a layer; its folder shows that of the overlay.
                if device_of(open_below(root, file.path.folder)) != device:
                    file.write.withdraw(root.descriptor)
                    batch.apart.append(position)
            except OSError as error:
                batch.fail([position], error)

    def _place_apart(self, root: OpenFolder, batch: PlacedBatch) -> None:
        def place(some: Sequence[int]) -> Iterator[StoreUnavailableError | None]:
            for position in some:
                try:
                    self.place(root, batch.files[position])
                    yield None
                except StoreUnavailableError as error:
                    if error.__cause__ is not None:
                        error.__cause__ = error.__cause__.with_traceback(None)
                    yield error.with_traceback(None)

        failures = self.in_slices(lambda some: list(place(some)), batch.apart)
        for position, failure in zip(batch.apart, failures, strict=True):
            batch.failures[position] = failure

    def _step_or_withdraw(
        self,
        root: OpenFolder,
        batch: PlacedBatch,
        step: Callable[[int, Sequence[GatedWrite]], Sequence[OSError | None]],
    ) -> None:
        left = batch.left()
        self._step(batch, left, lambda files: step(root.fileno(), [file.write for file in files]))
        # A file whose folder could not even be opened is still there.
        self._withdraw_quietly(root, [batch.files[p] for p in left if batch.failures[p]])

    def _step(
        self,
        batch: PlacedBatch,
        positions: list[int],
        step: Callable[[Sequence[StagedFile]], Sequence[OSError | None]],
    ) -> None:
        """Do `step` for the files at `positions`, a slice of them in each thread, and note the failures."""
        errors = self.in_slices(lambda some: step([batch.files[p] for p in some]), positions)
        for position, error in zip(positions, errors, strict=True):
            if error is not None:
                batch.fail([position], error)

    def in_slices(self, work: Callable[[Sequence[T]], Iterable[U]], items: Sequence[T]) -> list[U]:
        """Do `work` for all items, slice by slice on the shared threads; results in order of the items."""
        slices = self._slices(items)
        if len(slices) < 2:
            return [result for some in slices for result in work(some)]
        tasks = [Task(partial(work, some)) for some in slices]
        try:
            self._batch_threads.begin(tasks)
            return [result for task in tasks for result in task.result()]
        finally:
            for task in tasks:  # no thread is still working when an error is raised
                task.stop()

    def _slices(self, items: Sequence[T]) -> list[Sequence[T]]:
        size = max(_SMALLEST_SLICE, -(-len(items) // (_SLICES_PER_THREAD * self._threads)))
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _write_temporaries(self, root: OpenFolder, files: Sequence[StagedFile]) -> list[OSError | None]:
        errors: dict[int, OSError | None] = {}
        for attempt in (1, 2):
            untried = [position for position in range(len(files)) if position not in errors]
            unmade = self._make_folders(root, {files[p].path.folder for p in untried})
            errors |= {p: unmade[files[p].path.folder] for p in untried if files[p].path.folder in unmade}
            untried = [position for position in untried if position not in errors]
            written = write_temporaries(
                root.fileno(), [files[p].write for p in untried], [files[p].target() for p in untried]
            )
            for position, error in zip(untried, written, strict=True):
                if attempt == 1 and isinstance(error, FileNotFoundError):
                    self._folders.forget()  # a folder that was known to exist has vanished since
                else:
                    errors[position] = error
        return [errors[position] for position in range(len(files))]

    def _make_folders(self, root: OpenFolder, folders: Iterable[str]) -> dict[str, OSError]:
        """Make the folders; returns the error of each folder that could not be made."""
        unmade = {}
        for folder in folders:
            try:
                self._folders.make(root, folder, durable=False)
            except OSError as error:
                unmade[folder] = error
        return unmade

    def _sync(self, root: OpenFolder, descriptor: OpenFolder, batch: PlacedBatch) -> None:
        if not batch.left():
            return
        try:
            sync_file_system(descriptor.fileno())
        except OSError as error:
            self._distrust(root, batch, error)

    def _distrust(self, root: OpenFolder, batch: PlacedBatch, error: OSError) -> None:
        """Withdraw the whole batch: after a failed sync no file of it is known to be durable."""
        self._withdraw_quietly(root, batch.files)
        batch.fail(batch.left(), error)

    def withdraw(self, root: OpenFolder, file: StagedFile) -> None:
        """See `TileFiles`. Raises `StoreUnavailableError`."""
        with disk_errors("withdraw tile file", self._root_path / file.path.tile):
            file.write.withdraw(root.fileno())

    def _withdraw_quietly(self, root: OpenFolder, files: Sequence[StagedFile]) -> None:
        """Withdraw what can be withdrawn while another error is raised; the next open removes the rest."""
        for file in files:
            try:
                file.write.withdraw(root.fileno())
            except (OSError, RuntimeError):  # where a signal ended the wait, a thread may be in the middle
                continue
