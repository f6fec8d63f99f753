"""Putting admitted tiles in place, one by one or as a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

from ...domain.errors import StoreUnavailableError
from ...ext import GatedWrite, rename_all, sync_file_system, write_temporaries
from .batch_placement import PlacedBatch, Prewritten, folder_by_folder
from .errors import disk_errors, store_unavailable
from .folders import FolderMaker, OpenFolder, open_again
from .layout import TilePath, sidecar_line, temporary_name

T = TypeVar("T")
U = TypeVar("U")
Target: TypeAlias = tuple[str, str, str, str, str, bytes]
"""What `GatedWrite` takes."""

_SMALLEST_SLICE = 8
"""Fewer files are not worth another thread."""
_SLICES_PER_THREAD = 4
"""A thread that is held up leaves the rest to the others."""


class StagedFile:
    """A `StagedTile`: bytes that passed the hash gate, and where they go. Nothing is on the disk yet."""

    __slots__ = ("_open_root", "_placement", "_sidecar_line", "ahead", "path", "target_ahead", "write")

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
        self.ahead: Prewritten | None = None
        """The part of a batch that this one is written with before it is placed."""
        self._sidecar_line = sidecar_line(content_sha256, path.name).encode("ascii")
        self._placement = placement
        self._open_root = open_root
        self.target_ahead: Target | None = None
        """The target that `prewrite` was given, for the `place` that follows it."""

    def target(self) -> Target:
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

    def prewrite(self) -> None:
        """See `StagedTile`."""
        self._placement.prewrite(self._open_root(), self)

    def place(self) -> None:
        """See `StagedTile`. May be called again after `withdraw`."""
        self._placement.place(self._open_root(), self)

    def withdraw(self) -> None:
        """See `StagedTile`. Does nothing when nothing was placed."""
        self._placement.withdraw(self._open_root(), self)


class Placement:
    """Where staged files are put in place below one root. Any number of threads may use it.

    `ordered_device` is what `journal_order.ordered_device` says of the root. Batches are worked on by
    `threads` threads, which all batches share.
    """

    def __init__(self, root_path: Path, *, ordered_device: int, threads: int) -> None:
        self._root_path = root_path
        self._ordered_device = ordered_device
        self._threads = threads
        self._folders = FolderMaker()
        # Its threads start with the first batch and end with this object.
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="aerotile-files")

    def prewrite(self, root: OpenFolder, file: StagedFile) -> None:
        """Write one tile under no name; `place` gives it one and makes both durable.

        In a folder that is not known to be there it is left to `place`, which makes it.
        """
        if self._folders.knows(file.path.folder):
            file.target_ahead = file.target()
            file.write.prewrite(root.fileno(), file.target_ahead)

    def place(self, root: OpenFolder, file: StagedFile) -> None:
        """Place one tile durably: file, sidecar, their folder and folders made on the way.

        Raises `StoreUnavailableError`; then neither file is there.
        """

        def write() -> None:
            self._folders.make(root, file.path.folder, durable=True)
            target, file.target_ahead = file.target_ahead or file.target(), None
            file.write.place(root.fileno(), target, self._ordered_device)

        try:
            try:
                write()
            except FileNotFoundError:  # a folder known to be there has vanished since
                self._folders.forget()
                write()
        except OSError as error:
            raise store_unavailable("write tile file", self._root_path / file.path.tile, error) from error

    @contextmanager
    def prewriting(
        self, open_root: Callable[[], OpenFolder], files: Sequence[StagedFile]
    ) -> Iterator[Callable[[], None]]:
        """See `TileFiles`."""
        ahead = Prewritten()

        def begin() -> None:
            # A few files are written faster than threads are woken for them.
            if len(files) < 2 * _SMALLEST_SLICE:
                return
            try:
                root = open_root()
                ahead.descriptor = open_again(root)
            except (OSError, StoreUnavailableError):
                return
            in_order = [files[place] for place in folder_by_folder(files)]
            for some in self._slices(in_order):
                ahead.working.append((some, self._pool.submit(self._write_temporaries, root, some)))
            ahead.synced = self._pool.submit(ahead.sync)  # the pool has begun with all the others by then
            for file in files:
                file.ahead = ahead

        try:
            yield begin
        finally:
            ahead.wait()
            left = [file for file in files if file.write.has_temporaries]
            if left:
                self._withdraw_quietly(open_root(), left)
            for file in files:
                file.ahead = None

    def place_many(self, root: OpenFolder, files: Sequence[StagedFile]) -> list[StoreUnavailableError | None]:
        """Place a batch durably: all temporaries, a sync, all renames, a sync.

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
        ahead = next((file.ahead for file in batch.files if file.ahead is not None), None)
        try:
            # Opened before the first write: it is this batch's errors that its syncs must report.
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
        if unwritten:
            self._sync(root, descriptor, batch)
        written = batch.left()
        self._step(batch, written, lambda files: rename_all(root.fileno(), [file.write for file in files]))
        # One whose folder could not even be opened is still there under its temporary name.
        self._withdraw_quietly(root, [batch.files[place] for place in written if batch.failures[place]])
        self._sync(root, descriptor, batch)
        for folder in {batch.files[place].path.folder for place in batch.left()}:
            self._folders.learn(folder)

    def _step(
        self,
        batch: PlacedBatch,
        places: list[int],
        step: Callable[[Sequence[StagedFile]], Sequence[OSError | None]],
    ) -> None:
        """Do `step` for the files at `places`, a slice of them in each thread, and note the failures."""
        errors = self.in_slices(lambda some: step([batch.files[place] for place in some]), places)
        for place, error in zip(places, errors, strict=True):
            if error is not None:
                batch.fail([place], error)

    def in_slices(self, work: Callable[[Sequence[T]], Iterable[U]], items: Sequence[T]) -> list[U]:
        """`work` of all items, done slice by slice in the threads at hand; results in order."""
        slices = self._slices(items)
        if len(slices) < 2:
            return [result for some in slices for result in work(some)]
        working = [self._pool.submit(work, some) for some in slices]
        wait(working)  # nobody is in the middle of anything when an error leaves here
        return [result for done in working for result in done.result()]

    def _slices(self, items: Sequence[T]) -> list[Sequence[T]]:
        size = max(_SMALLEST_SLICE, -(-len(items) // (_SLICES_PER_THREAD * self._threads)))
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _write_temporaries(self, root: OpenFolder, files: Sequence[StagedFile]) -> list[OSError | None]:
        errors: dict[int, OSError | None] = {}
        for attempt in (1, 2):
            places = [place for place in range(len(files)) if place not in errors]
            unmade = self._make_folders(root, {files[place].path.folder for place in places})
            errors |= {p: unmade[files[p].path.folder] for p in places if files[p].path.folder in unmade}
            places = [place for place in places if place not in errors]
            written = write_temporaries(
                root.fileno(),
                [files[place].write for place in places],
                [files[place].target() for place in places],
            )
            for place, error in zip(places, written, strict=True):
                if attempt == 1 and isinstance(error, FileNotFoundError):
                    self._folders.forget()  # a folder known to be there has vanished since
                else:
                    errors[place] = error
        return [errors[place] for place in range(len(files))]

    def _make_folders(self, root: OpenFolder, folders: Iterable[str]) -> dict[str, OSError]:
        """Make the folders, and return those that could not be made and why."""
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
        """When a sync failed, nothing of the batch can be trusted, and all of it goes."""
        self._withdraw_quietly(root, batch.files)
        batch.fail(batch.left(), error)

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
