"""`BlockRunner`: what runs a function over the blocks of a build: this process, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
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

    def run(self, phase: str, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """The results of all tasks, in any order; tasks are drawn as results are taken.

        `phase` is a word that progress shows. Closing the iterator gives up what is under way: another
        machine may still finish it. Raises `BaseSealError` when a task fails, or the machines that run it do;
        finished tasks stay finished.
        """

    def beside(
        self, phase: str, work: Callable[[Task], Result], task: Task
    ) -> AbstractContextManager[Callable[[], Result]]:
        """Run one large task while the caller does something else; what is entered waits for its result.

        It runs on the machine with the most memory. Leaving the context gives it up, as closing the iterator
        of `run` does. Raises as `run`, when it waits.
        """

    def available_memory_bytes(self) -> int | None:
        """What the machine with the most memory has to give; None where that is not known."""
