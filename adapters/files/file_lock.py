"""Locks on files between processes (flock). The kernel releases a lock when its process dies."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

from .regular_file import open_regular

_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """A lock file, held shared or exclusively by one object at a time. A forked child does not hold it."""

    def __init__(self, path: Path, *, create_mode: int | None = None) -> None:
        """With `create_mode`, a lock file that is missing is created with that mode."""
        self._path = path
        self._create_mode = create_mode
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock; False when another holder prevents that.

        Raises `OSError`, also when the file is missing and no `create_mode` was given, is a symbolic link, or
        is no regular file.
        """
        if self._create_mode is None:
            descriptor = open_regular(self._path, os.O_RDWR)
        else:
            descriptor = open_regular(self._path, os.O_RDWR | os.O_CREAT, mode=self._create_mode)
        is_taken = False
        try:
            is_taken = lock_open_file(descriptor, shared=shared)
        finally:
            if not is_taken:
                os.close(descriptor)
        if is_taken:
            self._descriptor = descriptor
            _open_locks.add(self)
        return is_taken

    def release(self) -> None:
        """Unlock, also for processes that inherited the descriptor; does nothing when the lock is not held.

        Raises `OSError`; the descriptor is closed even then.
        """
        if self._descriptor is None:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self.close()

    @property
    def descriptor(self) -> int:
        """The open file that holds the lock, for a child to inherit. Raises `ValueError` when not held."""
        if self._descriptor is None:
            raise ValueError(f"the lock {self._path} is not held")
        return self._descriptor

    def close(self) -> None:
        """Close the file: the lock ends unless a process inherited the descriptor and holds the lock now."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def lock_open_file(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file or folder until its last descriptor is closed. Raises `OSError`.

    With `wait`, waits for other holders; otherwise returns False when one of them prevents the lock.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_free(path: Path) -> bool:
    """Whether no process holds the lock at this moment. Raises `OSError`."""
    lock = FileLock(path)
    free = lock.try_acquire()
    lock.release()
    return free


def _forget_locks_of_the_parent() -> None:
    # Closed, not unlocked: the lock belongs to the open file, which the parent still has.
    for lock in list(_open_locks):
        lock.close()


os.register_at_fork(after_in_child=_forget_locks_of_the_parent)
