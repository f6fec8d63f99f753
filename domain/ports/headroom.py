"""The disk budget as a write reserves its room from it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from ..values.tiles import TileId


class Headroom(Protocol):
    """A disk budget. Any number of threads may reserve room at once."""

    def reserve_headroom(
        self,
        needed_bytes: int,
        lost_races: int = 0,
        *,
        onboard: bool = False,
        spared: TileId | None = None,
    ) -> AbstractContextManager[object]:
        """Reserve room until the context is left; `onboard`: for onboard tiles, which have a share of it.

        `lost_races` is how often another process took the room of the same write before its commit; each
        lost race frees more room than the last. `spared` is not evicted for it. Raises
        `CacheBudgetExhaustedError`.
        """


class NoBudget:
    """Headroom without a limit."""

    def reserve_headroom(
        self,
        needed_bytes: int,
        lost_races: int = 0,
        *,
        onboard: bool = False,
        spared: TileId | None = None,
    ) -> AbstractContextManager[object]:
        """See `Headroom`; never raises."""
        return nullcontext()
