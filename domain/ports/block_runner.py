"""`BlockRunner`: who runs a function over the blocks of a build: this process, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class BlockRunner(Protocol):
    """Runs functions whose results lie in files of a shared folder; what is returned is small.

    A function may run several times for the same task, also at the same time, and must leave the same file.
    """

    @property
    def threads(self) -> int | None:
        """Threads that a task may use; None: one a core of the machine."""
        ...

    def run(self, phase: str, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """The results of all tasks, in any order; tasks are drawn as results are taken.

        `phase` is a word that progress shows. Closing the iterator ends what is under way. Raises
        `BaseSealError` when a task fails, or the machines that run it do; finished tasks stay finished.
        """
        ...
