"""A recall list: which tiles must not be flown by any more, whoever holds them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

import attrs

from .areas import Area
from .tiles import TileId, TileMetadata
from .timestamps import microseconds_of
from .validators import check_aware_utc, is_sha256, is_whole

MOST_NUMBER = 10**18 - 1
"""The greatest number of a list, and of a generation of the base."""
MOST_REASON = 500


@attrs.frozen
class CaptureRange:
    """The times from `first` to `last`, both included; aware, in UTC. Raises `ValueError` for others."""

    first: datetime
    last: datetime

    def __attrs_post_init__(self) -> None:
        check_aware_utc(self.first, "first")
        check_aware_utc(self.last, "last")
        if self.first > self.last:
            raise ValueError(
                f"a range of capture times ends before it begins: {self.first.isoformat()} to "
                f"{self.last.isoformat()}"
            )

    def holds(self, captured_us: int) -> bool:
        """Whether a capture time, in microseconds since 1970 UTC, lies in the range."""
        return microseconds_of(self.first) <= captured_us <= microseconds_of(self.last)

    def __str__(self) -> str:
        return f"captured {self.first.isoformat()} to {self.last.isoformat()}"


def _sorted_digests(digests: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(digests), key=str))


@attrs.frozen(kw_only=True, slots=False)
class RecallList:
    """Recalls each tile that any of its entries names. Raises `ValueError` for an impossible one."""

    number: int
    """A list replaces the one of a lower number as a whole; 1 or more."""
    reason: str
    """For the persons who meet the refusal: one line, at most 500 characters."""
    digests: tuple[str, ...] = attrs.field(default=(), converter=_sorted_digests)
    """The SHA-256 of tiles' bytes, in ascending order."""
    captured: tuple[CaptureRange, ...] = ()
    areas: tuple[Area, ...] = ()
    """An area names the tiles whose box shares a point with it, at its zooms."""

    def __attrs_post_init__(self) -> None:
        if not is_whole(self.number) or not 1 <= self.number <= MOST_NUMBER:
            raise ValueError(f"the number of a recall list is a whole number from 1 on, got {self.number!r}")
        reason = self.reason
        if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
            raise ValueError(f"a recall list has a reason of one printable line, got {reason!r}")
        if len(reason) > MOST_REASON:
            raise ValueError(f"a reason has at most {MOST_REASON} characters, got {len(reason)}")
        for digest in self.digests:
            if not is_sha256(digest):
                raise ValueError(f"a digest is a SHA-256 of 64 lower hexadecimal digits, got {digest!r}")

    @cached_property
    def _digest_set(self) -> frozenset[str]:
        return frozenset(self.digests)

    @property
    def entries(self) -> int:
        """How many entries it has; a list without any lifts the recalls of the one before."""
        return len(self.digests) + len(self.captured) + len(self.areas)

    @property
    def needs_facts(self) -> bool:
        """Whether more than a tile's place must be known to say that no entry names it."""
        return bool(self.digests or self.captured)

    def entry_for(self, tile_id: TileId, captured_us: int | None, content_sha256: str | None) -> str | None:
        """The entry that names a tile, in words; None for a tile that is not recalled.

        `captured_us` is in microseconds since 1970 UTC. What is not known of a tile is None; entries of that
        kind don't name the tile then.
        """
        if content_sha256 in self._digest_set:
            return f"digest {content_sha256}"
        if captured_us is not None:
            for span in self.captured:
                if span.holds(captured_us):
                    return str(span)
        for position, area in enumerate(self.areas, 1):
            if area.touches(tile_id.zoom_level, tile_id.x, tile_id.y):
                return f"area {position}"
        return None

    def entry_for_tile(self, tile: TileMetadata) -> str | None:
        """See `entry_for`."""
        return self.entry_for(tile.tile_id, microseconds_of(tile.captured_at), tile.content_sha256)
