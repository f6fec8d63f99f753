"""Locks on files between processes (flock)."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """One holder's hold on a lock file, shared or exclusive.

    The kernel lets go of it when its process dies, however it dies. A forked child does not hold it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock unless another holder stands against it. The file must exist. Raises `OSError`."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _open_locks.add(self)
        return True

    def release(self) -> None:
        """Let go; does nothing when the lock is not held."""
        if self._descriptor is None:
            return
        try:
            # Unlocked, not just closed: a child forked meanwhile may have a copy of the descriptor.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self.leave_to_heirs()

    @property
    def descriptor(self) -> int:
        """The open file that holds the lock, to be inherited. Raises `ValueError` when it is not held."""
        if self._descriptor is None:
            raise ValueError(f"the lock {self._path} is not held")
        return self._descriptor

    def leave_to_heirs(self) -> None:
        """Let go, except for processes that inherited the descriptor: they hold the lock from now on."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock at this moment. Raises `OSError`."""
    lock = FileLock(path)
    free = lock.try_acquire()
    lock.release()
    return free


def _forget_locks_of_the_parent() -> None:
    # Closed, not unlocked: the lock belongs to the open file, which the parent still has.
    for lock in list(_open_locks):
        lock.leave_to_heirs()


os.register_at_fork(after_in_child=_forget_locks_of_the_parent)
