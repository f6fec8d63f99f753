"""The owner of connections, threads and queues. A child that was forked since must not use them."""

from __future__ import annotations

import os

from ..domain.errors import ForkedProcessError


class OwnProcess:
    """The process in which this object was made. No call takes a lock, so none can hang in a forked child."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this process, not in a child that was forked since."""
        return os.getpid() == self._pid  # a hook of `os.fork` would miss the forks of other libraries

    def check(self) -> None:
        """Raise `ForkedProcessError` in a child that was forked since."""
        if not self.is_current:
            raise ForkedProcessError(self._pid)

    def __reduce__(self) -> str:
        # What has such an owner is pickled when it is given to a process of `multiprocessing`.
        raise TypeError(
            "what a factory of aerotile opened is not pickled: call the factory in the other process"
        )
