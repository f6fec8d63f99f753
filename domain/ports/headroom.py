"""Where a write reserves its room."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Headroom(Protocol):
    """Where a write reserves its room."""

    def reserve_headroom(self, needed_bytes: int) -> AbstractContextManager[object]:
        """Reserve room until the context is left. Raises `CacheBudgetExhaustedError`."""
        ...


class NoBudget:
    """Headroom without a limit, for a store whose budget is kept elsewhere."""

    def reserve_headroom(self, needed_bytes: int) -> AbstractContextManager[object]:
        """Room for everything."""
        return nullcontext()
