"""The owner of connections, threads and queues. A child that was forked since must not use them."""

from __future__ import annotations

import os

from ..domain.errors import ForkedProcessError

_forks = 0
"""How many forks lie between this process and the one that loaded this module."""


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class OwnProcess:
    """The process in which this object was made. No call takes a lock, so none can hang in a forked child."""

    def __init__(self) -> None:
        self._pid, self._forks = os.getpid(), _forks

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this process, not in a child that was forked since."""
        return self._forks == _forks  # a system call less than `getpid`

    def check(self) -> None:
        """Raise `ForkedProcessError` in a child that was forked since."""
        if not self.is_current:
            raise ForkedProcessError(self._pid)

    def __reduce__(self) -> str:
        # What has such an owner is pickled when it is given to a process of `multiprocessing`.
        raise TypeError(
            "what a factory of aerotile opened is not pickled: call the factory in the other process"
        )
