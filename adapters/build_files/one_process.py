"""`OneProcess`: the `BlockRunner` of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ...domain.ports.block_runner import Result, Task
from ..available_memory import available_memory_bytes


class OneProcess:
    """See `BlockRunner`. One task after the other; errors are those of the steps."""

    threads: int | None = None

    def run(self, phase: str, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        return map(work, tasks)

    @contextmanager
    def beside(
        self, phase: str, work: Callable[[Task], Result], task: Task
    ) -> Iterator[Callable[[], Result]]:
        """See `BlockRunner`. It begins when its result is asked for."""
        yield lambda: work(task)

    def available_memory_bytes(self) -> int | None:
        return available_memory_bytes()
