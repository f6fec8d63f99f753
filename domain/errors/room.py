"""The disk budget has no room."""

from __future__ import annotations

from ..values.counted import counted
from .root import TileCacheError


class CacheBudgetExhaustedError(TileCacheError):
    """No room for the tile: all tiles that may be evicted together would not make it.

    Bytes of disk, blocks and inodes included: `needed_bytes` of the write, `budget_bytes` in all,
    `total_bytes` of the committed tiles, and `evictable_bytes` of those that may be evicted. They are counted
    before the first is evicted, so that a sweep which can't succeed evicts none; `evicted_tiles` is above 0
    only where a candidate was pinned or deleted during the sweep.
    """

    _of, _limit = "", "budget"
    _remedy = (
        "raise budget.max_bytes, upload onboard tiles (aerotile upload), or lift pins (aerotile pin --lift)"
    )

    def __init__(
        self,
        needed_bytes: int,
        budget_bytes: int,
        total_bytes: int,
        evictable_bytes: int = 0,
        evicted_tiles: int = 0,
    ) -> None:
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes
        self.total_bytes = total_bytes
        self.evictable_bytes = evictable_bytes
        self.evicted_tiles = evicted_tiles
        too_large = f"the whole {self._limit} is {budget_bytes} bytes"
        reason = too_large if needed_bytes > budget_bytes else self._reason()
        super().__init__(f"no room for {needed_bytes} bytes{self._of}: {reason}", remedy=self._remedy)

    def _reason(self) -> str:
        if self.total_bytes > self.budget_bytes:
            over = self.total_bytes - self.budget_bytes
            return (
                f"the store takes {over} bytes more than its budget of {self.budget_bytes}; "
                "no tile is evicted for that"
            )
        return (
            f"{self.total_bytes} of {self.budget_bytes} bytes are in use and {self.evictable_bytes} of them "
            f"may be evicted; {counted(self.evicted_tiles, 'tile was', 'tiles were')} evicted for it"
        )


class OnboardRoomExhaustedError(CacheBudgetExhaustedError):
    """No room for an onboard tile, which may evict only onboard tiles.

    `budget_bytes`, `total_bytes` and `evictable_bytes` are those of the onboard share
    (`budget.onboard_share`), or with `budget_is_full` those of the whole budget.
    """

    _of, _limit = " of onboard tiles", "onboard share"
    _remedy = "upload onboard tiles (aerotile upload), or raise budget.onboard_share"

    def __init__(
        self,
        needed_bytes: int,
        budget_bytes: int,
        total_bytes: int,
        evictable_bytes: int = 0,
        evicted_tiles: int = 0,
        *,
        budget_is_full: bool = False,
    ) -> None:
        self.budget_is_full = budget_is_full
        if budget_is_full:
            self._limit = CacheBudgetExhaustedError._limit
            self._remedy = "upload onboard tiles (aerotile upload), raise budget.max_bytes, or delete tiles"
        super().__init__(needed_bytes, budget_bytes, total_bytes, evictable_bytes, evicted_tiles)

    def _reason(self) -> str:
        if self.budget_is_full and self.total_bytes > self.budget_bytes:
            return super()._reason()
        share = "" if self.budget_is_full else " of their share"
        return (
            f"{self.total_bytes} of {self.budget_bytes} bytes{share} are in use and {self.evictable_bytes} "
            "bytes of onboard tiles may be evicted, the map never is; "
            f"{counted(self.evicted_tiles, 'tile was', 'tiles were')} evicted for it"
        )


class HeadroomTakenError(CacheBudgetExhaustedError):
    """Another process took the reserved room before the commit; reserving again may help."""

    _remedy = "write it again; if that goes on, raise budget.max_bytes"

    def _reason(self) -> str:
        return f"another process took it; {self.total_bytes} of {self.budget_bytes} bytes are in use"
