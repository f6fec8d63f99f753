"""The index that lookups search, and what stands in front of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from ..ports.descriptor_index import DescriptorIndex, SupportsAreaSearch, SupportsKeyListing
from ..values.catalogue_entries import Keys
from ..values.descriptors import IndexMetadata
from ..values.tile_key import VariantTable
from ..values.tiles import TileId

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class SearchableIndex(DescriptorIndex, SupportsAreaSearch, SupportsKeyListing, Protocol):
    """An index with both searches."""


class IndexInFront:
    """All of a `SearchableIndex` but its searches, from the index behind. A subclass adds the searches."""

    def __init__(self, index: SearchableIndex) -> None:
        self._index = index

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
        """See `DescriptorIndex`."""
        return self._index.rebuild(
            tile_ids,
            descriptors,
            descriptor_model=descriptor_model,
            built_at=built_at,
            progress=progress,
            content_sha256=content_sha256,
        )

    def metadata(self) -> IndexMetadata:
        """See `DescriptorIndex`."""
        return self._index.metadata()

    def tile_keys(self) -> tuple[Keys, VariantTable]:
        """See `SupportsKeyListing`; tiles that a search leaves out are listed."""
        return self._index.tile_keys()

    def dimension(self) -> int:
        """See `DescriptorIndex`."""
        return self._index.dimension()

    def close(self) -> None:
        """See `DescriptorIndex`."""
        self._index.close()
