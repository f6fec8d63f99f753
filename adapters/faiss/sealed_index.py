"""The descriptor index of a sealed base: read alone, in the files that the base's manifest binds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ...domain.errors import IndexBuildError, IndexUnavailableError
from ...domain.values.areas import Area
from ...domain.values.catalogue_entries import Keys
from ...domain.values.descriptors import IndexMetadata, SearchHit
from ...domain.values.tile_key import VariantTable
from ...domain.values.tiles import TileId
from ..index_files import ROWS_FILE
from ..own_process import OwnProcess
from .area_search import AreaSearch
from .mapped_index import MappedIndex, checked_index, open_areas, open_graph, read_metadata
from .queries import quickly_checked_query

_REMEDY = "switch to another base with `aerotile base rollback`, or bring this one again"
T = TypeVar("T")


class SealedDescriptorIndex:
    """A `DescriptorIndex` in the folder of a sealed generation; threads may share it.

    Construction hashes metadata and rows, and with `warm_up` the graph. Without `warm_up` the graph is hashed
    before its first search, and a damaged one costs the searches of the whole index alone. A block of the
    descriptors is hashed before the first search within an area that uses it.

    Construction raises `IndexUnavailableError` for damage, and for descriptors of another network than
    `descriptor_model` (None: of any).
    """

    def __init__(
        self,
        folder: Path,
        metadata_sha256: str,
        *,
        ef_search: int,
        warm_up: bool,
        descriptor_model: str | None = None,
    ) -> None:
        """`metadata_sha256` is that of the metadata's file, by the manifest."""
        self._folder = folder
        self._ef_search = ef_search
        self._process = OwnProcess()
        self._opening = threading.Lock()
        self._graph: MappedIndex | None = None
        self._areas: AreaSearch | None = None
        self._metadata, self._digests = _of_base(lambda: read_metadata(folder, metadata_sha256))
        built_with = self._metadata.descriptor_model
        if descriptor_model not in (None, built_with):
            raise IndexUnavailableError(
                f"the base in {folder} holds descriptors of {built_with!r}, the configured network is "
                f"{descriptor_model!r}",
                remedy="bring a base that was sealed with the configured network, "
                "or correct index.descriptor_model and [descriptor]",
            )
        self._areas = _of_base(lambda: open_areas(folder, self._metadata))
        if self._areas is None:
            raise IndexUnavailableError(f"the index in {folder} has no {ROWS_FILE}", remedy=_REMEDY)
        if warm_up:
            self.search(np.ones(self._metadata.dimension, np.float32), 1)

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """See `DescriptorIndex`. The first call may hash the graph; a damaged one is refused each time."""
        query = quickly_checked_query(descriptor, self._metadata.dimension, k, self._metadata.metric)
        self._in_use()
        return _of_base(lambda: self._opened_graph().nearest(query, int(k)))

    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """See `SupportsAreaSearch`."""
        query = quickly_checked_query(descriptor, self._metadata.dimension, k, self._metadata.metric)
        areas = self._in_use()
        return _of_base(lambda: areas.nearest(query, int(k), area))

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
        """Raises `IndexBuildError`: a base is never changed."""
        raise IndexBuildError(
            f"the index of the sealed base in {self._folder} is never changed",
            remedy="build an index with `aerotile index build`, and seal a new base with it",
        )

    def metadata(self) -> IndexMetadata:
        """See `DescriptorIndex`."""
        self._in_use()
        return self._metadata

    def tile_keys(self) -> tuple[Keys, VariantTable]:
        """See `SupportsKeyListing`."""
        return np.array(self._in_use().keys, np.int64), self._metadata.variants

    def dimension(self) -> int:
        """See `DescriptorIndex`."""
        return self.metadata().dimension

    def verify(self) -> None:
        """Hash what was not used before. Raises `IndexUnavailableError` for damage."""
        areas = self._in_use()
        _of_base(areas.verify)
        _of_base(self._opened_graph)

    def close(self) -> None:
        """See `DescriptorIndex`. Searches under way finish."""
        self._areas = self._graph = None

    def _in_use(self) -> AreaSearch:
        areas = self._areas
        if areas is None:
            raise IndexUnavailableError(f"the descriptor index in {self._folder} is closed")
        return areas

    def _opened_graph(self) -> MappedIndex:
        areas, graph = self._in_use(), self._graph
        if graph is not None:
            return graph
        if not self._process.is_current:  # a thread of the parent may have held the lock at the fork
            self._process, self._opening = OwnProcess(), threading.Lock()
        with self._opening:
            graph = self._graph
            if graph is None:
                opened = open_graph(self._folder, self._metadata, self._digests, self._ef_search)
                graph = checked_index(self._folder, self._metadata, *opened, areas)
                if self._areas is not None:  # not closed meanwhile
                    self._graph = graph
        return graph


def _of_base(call: Callable[[], T]) -> T:
    """What a call answers; its errors name the remedy for a base."""
    try:
        return call()
    except IndexUnavailableError as error:
        raise IndexUnavailableError(str(error), remedy=_REMEDY) from error
