"""`OneProcess`: the `BlockRunner` of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ...domain.ports.block_runner import Result, Task


class OneProcess:
    """See `BlockRunner`. One task after the other; errors are those of the steps."""

    threads: int | None = None

    def run(self, phase: str, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """See `BlockRunner`."""
        return map(work, tasks)
