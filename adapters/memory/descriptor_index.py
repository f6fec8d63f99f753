"""A descriptor index by exact search."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import IndexUnavailableError
from ...domain.values.areas import Area
from ...domain.values.catalogue_entries import Keys
from ...domain.values.descriptors import DescriptorMetric, HnswParams, IndexMetadata, SearchHit, VectorStorage
from ...domain.values.tile_key import VariantTable, encode_tile_key
from ...domain.values.tiles import TileId
from ...domain.values.validators import check_kind
from ..descriptor_arrays import (
    check_build,
    check_components,
    check_contents,
    check_descriptors,
    checked_query,
    encode_tiles,
)


@attrs.frozen(eq=False)
class _Built:
    """One generation, replaced as a whole, so that a search uses either the old or the new generation."""

    tile_ids: tuple[TileId, ...]
    descriptors: npt.NDArray[np.float32]
    metadata: IndexMetadata


class MemoryDescriptorIndex:
    """A `DescriptorIndex` that compares the query with every descriptor: the reference for faster indexes.

    Nothing is durable. Of `params` only the metric has an effect.
    """

    def __init__(self, params: HnswParams | None = None) -> None:
        self._params = HnswParams() if params is None else params
        self._built: _Built | None = None

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        """The `k` nearest tiles, nearest first, each once by its best descriptor; fewer when it holds fewer.

        Raises `ValueError` for a query that `checked_query` refuses, or k < 1;
        `IndexUnavailableError` before the first rebuild and after `close`.
        """
        built = self._in_use()
        query = checked_query(descriptor, built.metadata.dimension, k, self._params.metric)
        if self._params.metric is DescriptorMetric.L2:
            distances = np.square(built.descriptors - query).sum(axis=1)
            order = np.argsort(distances, kind="stable")
        else:
            distances = built.descriptors @ query
            order = np.argsort(-distances, kind="stable")
        best: dict[TileId, SearchHit] = {}
        for row in order.tolist():
            best.setdefault(built.tile_ids[row], SearchHit(built.tile_ids[row], float(distances[row])))
            if len(best) == k:
                break
        return list(best.values())

    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """See `SupportsAreaSearch`; raises as `search` does."""
        built = self._in_use()
        query = checked_query(descriptor, built.metadata.dimension, k, self._params.metric)
        check_kind(area, Area, "area")
        held = [row for row, t in enumerate(built.tile_ids) if area.touches(t.zoom_level, t.x, t.y)]
        hits = [SearchHit(built.tile_ids[row], self._distance(built.descriptors[row], query)) for row in held]
        sign = 1 if self._params.metric is DescriptorMetric.L2 else -1
        hits.sort(
            key=lambda hit: (sign * hit.distance, encode_tile_key(hit.tile_id, built.metadata.variants))
        )
        best: dict[TileId, SearchHit] = {}
        for hit in hits:
            best.setdefault(hit.tile_id, hit)
        return list(best.values())[:k]

    def _distance(self, stored: npt.NDArray[np.float32], query: npt.NDArray[np.float32]) -> float:
        if self._params.metric is DescriptorMetric.L2:
            return float(np.square(stored - query).sum())
        return float(stored @ query)

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
        """Replace the content by row i = tile i. Raises `IndexBuildError`; then the old content stays."""
        check_build(descriptor_model, built_at, progress)
        check_descriptors(tile_ids, descriptors)
        check_contents(content_sha256, len(descriptors))
        check_components(tile_ids, descriptors, VectorStorage.FLOAT32)
        variants, _ = encode_tiles(tile_ids, lambda table: partial(encode_tile_key, variants=table))
        own = np.array(descriptors, dtype=np.float32, order="C")
        metadata = IndexMetadata(
            dimension=own.shape[1],
            count=len(own),
            params=self._params,
            storage=VectorStorage.FLOAT32,
            descriptor_model=descriptor_model,
            faiss_version="none",
            sha256=hashlib.sha256(own.tobytes()).hexdigest(),
            built_at=built_at,
            variants=variants,
        )
        if progress is not None:
            progress(len(own), len(own))
        self._built = _Built(tuple(tile_ids), own, metadata)
        return metadata

    def metadata(self) -> IndexMetadata:
        """The facts of the content. Raises `IndexUnavailableError`."""
        return self._in_use().metadata

    def tile_keys(self) -> tuple[Keys, VariantTable]:
        """See `SupportsKeyListing`."""
        built = self._in_use()
        variants = built.metadata.variants
        keys = [encode_tile_key(tile_id, variants) for tile_id in built.tile_ids]
        return np.array(keys, np.int64), variants

    def dimension(self) -> int:
        """Length of a descriptor. Raises `IndexUnavailableError`."""
        return self._in_use().metadata.dimension

    def close(self) -> None:
        """Release the memory; a second call does nothing."""
        self._built = None

    def _in_use(self) -> _Built:
        if self._built is None:
            raise IndexUnavailableError(
                "the descriptor index in memory is empty or closed", remedy="rebuild it from descriptors"
            )
        return self._built
