"""Files that are whole or not there: written under a temporary name, synced, and renamed into place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .durable_folder import sync_folder
from .regular_file import open_regular
from .temporary_file import refuse_taken, temporary_file

_NEW = os.O_CREAT | os.O_EXCL
_REFUSED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def atomic_file(
    path: Path | str,
    mode: int,
    *,
    durable: bool = True,
    synced: bool = True,
    is_new: bool = False,
    ignore_umask: bool = False,
    temporary: str | None = None,
    dir_fd: int | None = None,
) -> Iterator[BinaryIO]:
    """Replace the file at `path` by what the body writes, when the body ends without an error.

    A crash leaves the old file or the new one, each whole. An error leaves the old file and no temporary. A
    symbolic link at `path` is replaced, and none is followed.

    - `durable`: sync the folder too, so that the new file survives a power cut. When only that last sync
      fails, the new file stays in place and may not outlast a power cut.
    - `synced`: sync the content. Without it, a power cut may leave an empty file, or part of the content.
    - `is_new`: refuse a file that is at `path` by then. A file whose name could not be synced is removed
      again, so that the next caller does not take its name for durable.
    - `ignore_umask`: set the mode as given; by default a umask takes rights away from it.
    - `temporary`: a name that no other writer uses. By default it is `.{name}.tmp`, which one writer has at a
      time: what a crash left there is removed, and a second writer is refused.
    - `dir_fd`: the open folder that holds the file; `path` is then a name in it.

    Raises `OSError`, with EBUSY while another writer has the name, and what the body raises.
    """
    path = Path(path)
    hidden = path.with_name(temporary or f".{path.name.removeprefix('.')}.tmp")
    with ExitStack() as ending:
        if temporary is None:
            held = ending.enter_context(temporary_file(hidden, mode, target=path, dir_fd=dir_fd))
            descriptor = os.dup(held)
        else:
            descriptor = open_regular(hidden, _NEW | os.O_WRONLY, mode=mode, dir_fd=dir_fd)
            ending.enter_context(_removed_on_error(hidden, dir_fd))
        with (
            refused_writes_named(path),
            _filled(descriptor, mode, synced=synced, ignore_umask=ignore_umask) as file,
        ):
            if is_new:
                refuse_taken(path, dir_fd)
            yield file
        os.rename(hidden, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        if durable:
            with _removed_on_error(path if is_new else None, dir_fd):
                sync_folder(path.parent if dir_fd is None else dir_fd)


@contextmanager
def new_file(
    path: Path | str,
    mode: int,
    *,
    synced: bool = True,
    ignore_umask: bool = False,
    dir_fd: int | None = None,
    readable: bool = False,
) -> Iterator[BinaryIO]:
    """Create a file that was not there and sync what the body writes; its folder is for the caller to sync.

    For a file in a folder that gets its final name later; see `atomic_file` for the arguments. With
    `readable` the body may read back what it wrote. An error leaves no file. Raises `FileExistsError` when
    the name is taken, `OSError`, and what the body raises.
    """
    flags = _NEW | (os.O_RDWR if readable else os.O_WRONLY)
    descriptor = open_regular(path, flags, mode=mode, dir_fd=dir_fd)
    with (
        refused_writes_named(path),
        _removed_on_error(path, dir_fd),
        _filled(descriptor, mode, synced=synced, ignore_umask=ignore_umask, readable=readable) as file,
    ):
        yield file


@contextmanager
def refused_writes_named(path: Path | str) -> Iterator[None]:
    """Name the file in an `OSError` of the body that says that a disk took no more; a write names none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _REFUSED_WRITES:
            error.filename = str(path)
        raise


@contextmanager
def _filled(
    descriptor: int, mode: int, *, synced: bool, ignore_umask: bool, readable: bool = False
) -> Iterator[BinaryIO]:
    with os.fdopen(descriptor, "w+b" if readable else "wb") as file:
        if ignore_umask:
            os.fchmod(descriptor, mode)
        yield file
        file.flush()
        if synced:
            os.fsync(descriptor)


@contextmanager
def _removed_on_error(path: Path | str | None, dir_fd: int | None) -> Iterator[None]:
    """Remove `path`, as far as the disk allows, when the body raises."""
    try:
        yield
    except BaseException:
        if path is not None:
            with suppress(OSError):
                os.unlink(path, dir_fd=dir_fd)
        raise
