"""The life of a lookup: a descriptor, the tiles that look like it, their verdicts, their pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import attrs

from .descriptors import SearchHit
from .errors import TileNotFoundError
from .freshness import FreshnessVerdict
from .ports import TilePixelHandle
from .tiles import TileId

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class DescriptorSearch(Protocol):
    """The one call to the `DescriptorIndex` that a lookup makes."""

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]: ...


class PixelReader(Protocol):
    """The one call to the `TileStore` that a lookup makes, once per candidate."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle: ...


@attrs.frozen
class FoundTile:
    """A candidate for the matcher. The caller closes `pixels`."""

    tile_id: TileId
    distance: float
    verdict: FreshnessVerdict | None
    """As of the moment of the lookup, not of the write."""
    pixels: TilePixelHandle


def find_tiles(
    descriptor: npt.NDArray[np.float32],
    k: int,
    *,
    index: DescriptorSearch,
    store: PixelReader,
    verdict_of: Callable[[TileId], FreshnessVerdict | None],
) -> list[FoundTile]:
    """The nearest tiles with their pixels, nearest first, without a database access.

    Tiles that were evicted since the index was built are left out, so fewer than `k` may come back.
    Raises what `DescriptorIndex.search` and `TileStore.read_tile_pixels` raise.
    """
    found = []
    for hit in index.search(descriptor, k):
        try:
            pixels = store.read_tile_pixels(hit.tile_id)
        except TileNotFoundError:
            continue
        found.append(FoundTile(hit.tile_id, hit.distance, verdict_of(hit.tile_id), pixels))
    return found
