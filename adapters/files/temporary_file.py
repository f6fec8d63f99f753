"""Temporary names beside a file or folder: each has one writer at a time.

A writer holds a lock (flock) on what it writes until that has its final name, so that what a dead writer left
is told from what another one is writing.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .file_lock import lock_open_file
from .regular_file import open_regular

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 100


@contextmanager
def temporary_file(path: Path, mode: int, *, target: Path, dir_fd: int | None = None) -> Iterator[int]:
    """Create the file `path`, which the body renames to `target`; yields its descriptor.

    What a dead writer left under the name is removed first. The descriptor is closed behind the body, and a
    file that was not renamed is removed. `dir_fd` is the open folder that holds both.

    Raises `OSError`, with EBUSY while another thread or process writes `target`.
    """
    descriptor = _create(path, mode, target, dir_fd)
    try:
        yield descriptor
    finally:
        _remove(descriptor, path, dir_fd)
        os.close(descriptor)


@contextmanager
def temporary_folder(path: Path, mode: int, *, target: Path) -> Iterator[None]:
    """Create the folder `path`, as `temporary_file` does a file; yields nothing."""
    descriptor = _open_folder(path, mode, target)
    try:
        if not _is_locked(descriptor, target) or not _has_name(descriptor, path, None):
            raise _busy(target)
        try:
            _empty(path)
            yield
        finally:
            with suppress(OSError):
                if _has_name(descriptor, path, None):
                    shutil.rmtree(path)
    finally:
        os.close(descriptor)


def _open_folder(path: Path, mode: int, target: Path) -> int:
    for _ in range(_TRIES):
        with suppress(FileExistsError):
            path.mkdir(mode)
        with suppress(FileNotFoundError):  # another writer removed it in between
            return os.open(path, _FOLDER_FLAGS)
    raise _busy(target)


def refuse_taken(target: Path, dir_fd: int | None = None) -> None:
    """Raise `FileExistsError` where there is anything at `target`.

    Called by the writer that has the temporary name: no other writer can make it by then.
    """
    with suppress(FileNotFoundError):
        os.stat(target, dir_fd=dir_fd, follow_symlinks=False)
        raise FileExistsError(
            errno.EEXIST, "there is something of that name, and it is not replaced", str(target)
        )


def _create(path: Path, mode: int, target: Path, dir_fd: int | None) -> int:
    for _ in range(_TRIES):
        try:
            descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode=mode, dir_fd=dir_fd)
        except FileExistsError:
            _remove_remains(path, target, dir_fd)
            continue
        try:
            # Before it is locked, another writer may take the file for a dead one's.
            is_held = _is_locked(descriptor, target) and _has_name(descriptor, path, dir_fd)
        except BaseException:
            _remove(descriptor, path, dir_fd)
            os.close(descriptor)
            raise
        if is_held:
            return descriptor
        os.close(descriptor)
    raise _busy(target)


def _remove_remains(path: Path, target: Path, dir_fd: int | None) -> None:
    """Remove what a dead writer left under the name. Raises `OSError`, with EBUSY for one that lives."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode):
            os.unlink(path, dir_fd=dir_fd)  # no writer's
            return
        try:
            # Over NFS an exclusive lock takes a descriptor that is open for writing (flock(2)).
            descriptor = open_regular(path, os.O_RDWR, dir_fd=dir_fd)
        except PermissionError:  # a file that nobody may change
            descriptor = open_regular(path, dir_fd=dir_fd)
        try:
            if not _is_locked(descriptor, target):
                raise _busy(target)
            if _has_name(descriptor, path, dir_fd):
                os.unlink(path, dir_fd=dir_fd)
        finally:
            os.close(descriptor)


def _remove(descriptor: int, path: Path, dir_fd: int | None) -> None:
    """Remove the file unless it has another name by now, as far as the disk allows."""
    with suppress(OSError):
        if _has_name(descriptor, path, dir_fd):
            os.unlink(path, dir_fd=dir_fd)


def _empty(folder: Path) -> None:
    for entry in list(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _is_locked(descriptor: int, target: Path) -> bool:
    """Lock the file for this writer, or tell that another one has it. Raises `OSError` with the target."""
    try:
        return lock_open_file(descriptor)
    except OSError as error:  # such as ENOLCK of a network disk; it names no file
        error.filename = str(target)
        raise


def _has_name(descriptor: int, path: Path, dir_fd: int | None) -> bool:
    try:
        there = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _busy(target: Path) -> OSError:
    return OSError(errno.EBUSY, "another program is writing it", str(target))
