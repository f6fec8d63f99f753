"""Work that another thread does for the one that asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class WorkElsewhere(Generic[T]):
    """Work, and then its result or its error. Who waits for it, and how, is for the subclass."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None

    def do(self) -> None:
        """Do the work; raises nothing."""
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001  # raised again on the thread that asked
            self._error = error

    def result(self) -> T:
        """The result of work that has ended; raises the error of the work."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # else the error and its traceback would keep each other alive
        return self._result  # type: ignore[return-value]  # set when there was no error
