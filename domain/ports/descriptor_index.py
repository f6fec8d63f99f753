"""Which tiles look like a descriptor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..values.areas import Area
from ..values.catalogue_entries import Keys
from ..values.descriptors import IndexMetadata, SearchHit
from ..values.tile_key import VariantTable
from ..values.tiles import TileId

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@runtime_checkable
class DescriptorIndex(Protocol):
    """Finds the tiles whose descriptors are nearest to a query."""

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """The `k` nearest tiles, nearest first, each once by its best descriptor; fewer when it holds fewer.

        `descriptor` has shape (dimension,), dtype float32, finite, of length 1e18 or less, and by inner
        product of 1e-15 or more. Waits for nothing but pages of the index that are not in memory. Raises
        `ValueError` for any other query and for k < 1, `IndexUnavailableError` for an empty or closed index.
        """

    def rebuild(
        self,
        tile_ids: Sequence[TileId],
        descriptors: npt.NDArray[np.float32],
        *,
        descriptor_model: str,
        built_at: datetime,
        progress: Callable[[int, int], None] | None = None,
        content_sha256: npt.NDArray[np.uint8] | None = None,
    ) -> IndexMetadata:
        """Build a new generation from row i = tile i, make it durable, and answer from it.

        A tile may come several times, with several descriptors. `descriptors` has shape (n, d), float32,
        finite. `content_sha256` has shape (n, 32): the SHA-256 of the bytes that row i was made from, by
        which `aerotile ready` finds out tiles that are replaced later. `progress(done, total)` counts
        descriptors. Searches under way finish on the old generation. Takes seconds to minutes; waits for no
        other build. Raises `IndexBuildError`; then the old generation stays.
        """

    def metadata(self) -> IndexMetadata:
        """Facts about the generation in use. Raises `IndexUnavailableError`."""

    def dimension(self) -> int:
        """Length of a descriptor. Raises `IndexUnavailableError`."""

    def close(self) -> None:
        """Release the memory of the index; a second call does nothing."""


@runtime_checkable
class SupportsKeyListing(Protocol):
    """An index that says which tiles it holds, so that it can be compared with a store."""

    def tile_keys(self) -> tuple[Keys, VariantTable]:
        """The tile key of each descriptor, in no particular order, and the table that decodes them.

        A tile with several descriptors is named several times. Raises `IndexUnavailableError`.
        """


@runtime_checkable
class SupportsAreaSearch(Protocol):
    """An index that compares with every descriptor of an area."""

    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """The `k` nearest tiles whose boxes share a point with the area, nearest first, each once.

        Exact: a tile's distance is that of its best descriptor, in float32 arithmetic on the stored numbers;
        among equals the lower tile key comes first. Fewer than `k` where the area holds fewer, none where it
        holds none. The cost follows the area's descriptors, whatever the size of the index. Raises
        `ValueError` and `IndexUnavailableError` as `DescriptorIndex.search` does.
        """
