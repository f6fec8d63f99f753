"""The life of a lookup: a descriptor, the tiles that look like it, their verdicts, their pixels."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import attrs

from .errors import (
    BaseUnavailableError,
    ContentHashMismatchError,
    StoreUnavailableError,
    TileNotFoundError,
    TileRecalledError,
)
from .lookups.recorded_index import RecordedHits
from .policies.freshness import FreshnessVerdict
from .ports.descriptor_index import SupportsAreaSearch
from .ports.tile_store import RecordsLookups
from .values.areas import Area
from .values.descriptors import SearchHit
from .values.pixels import TilePixelHandle
from .values.tiles import TileId
from .values.validators import check_kind, check_methods

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_log = logging.getLogger("aerotile.find")
_UNREADABLE = (BaseUnavailableError, ContentHashMismatchError, StoreUnavailableError, TileRecalledError)


class DescriptorSearch(Protocol):
    """The part of a `DescriptorIndex` that a lookup uses."""

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]: ...


class PixelReader(Protocol):
    """The calls to the store that a lookup makes, once per candidate; see `SupportsLocalReads`."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle: ...

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None: ...


@attrs.frozen
class FoundTile:
    """A candidate for the matcher. The caller closes `pixels`."""

    tile_id: TileId
    """Which tile it is."""
    distance: float
    """In the metric of the index."""
    verdict: FreshnessVerdict | None
    """As of the lookup, not of the write; None when the tile was deleted meanwhile."""
    pixels: TilePixelHandle
    """Read-only, without a copy; the caller closes it."""


class FoundTiles(list[FoundTile]):
    """Candidates, nearest first. Leaving a `with` block on the list leaves the pixels of each of them.

    So `with find_tiles(...) as candidates:` gives up every handle also when the matcher raises in the middle;
    views that are alive keep their memory.
    """

    lookup: str | None = None
    """The name of the lookup on the flight record, for `PositionFix`; None where it is not recorded."""

    def __enter__(self) -> FoundTiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the pixels of every candidate; never raises."""
        for found in self:
            found.pixels.__exit__(kind, error, trace)


def find_tiles(
    descriptor: npt.NDArray[np.float32],
    k: int,
    *,
    index: DescriptorSearch,
    store: PixelReader,
    near: Area | None = None,
) -> FoundTiles:
    """The nearest tiles with their pixels, nearest first, without a database access.

    With `near`, an aircraft's own estimate of its place, only tiles of that area are candidates, and none of
    them is missed (`SupportsAreaSearch`); without, the whole index is searched by its graph.
    Waits for the disk at most `reads.deadline_s` seconds for each tile.
    Tiles that were evicted since the index was built, that are damaged, that a recall list names, or that the
    disk fails to give, are left out, so fewer than `k` may come back. When the store holds none of the
    candidates, index and store may not belong together: that is logged, and recorded by a store that
    `RecordsLookups`. Raises what `DescriptorIndex.search` raises, and `TypeError` for an area that the index
    can't be held to, and for what is no index, store or area.
    """
    if not (hasattr(index, "search") and hasattr(store, "read_tile_pixels") and hasattr(store, "verdict")):
        check_methods(index, ("search",), "index")
        check_methods(store, ("read_tile_pixels", "verdict"), "store")
    if near is not None:
        check_kind(near, Area, "near")
    found = FoundTiles()
    unknown: list[TileId] = []
    try:
        hits = _candidates(index, descriptor, k, near)
        if isinstance(hits, RecordedHits):
            found.lookup = hits.lookup
        for hit in hits:
            try:
                pixels = store.read_tile_pixels(hit.tile_id)
            except TileNotFoundError:
                unknown.append(hit.tile_id)
                continue
            except _UNREADABLE as error:
                _log.warning("candidate %s is left out: %s", hit.tile_id, error.explained)
                continue
            found.append(FoundTile(hit.tile_id, hit.distance, store.verdict(hit.tile_id), pixels))
    except BaseException:
        found.__exit__(None, None, None)
        raise
    if unknown and len(unknown) == len(hits):
        _log.warning("none of the %d candidates is in the store, for instance %s", len(unknown), unknown[0])
        if isinstance(store, RecordsLookups):
            store.record_unknown_candidates(unknown)
    return found


def _candidates(
    index: DescriptorSearch, descriptor: npt.NDArray[np.float32], k: int, near: Area | None
) -> list[SearchHit]:
    if near is None:
        return index.search(descriptor, k)
    if not isinstance(index, SupportsAreaSearch):
        raise TypeError(f"near is an area, and {type(index).__name__} does not search within areas")
    return index.search_within(descriptor, k, near)
