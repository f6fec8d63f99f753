"""Every index over FAISS, for the contract suites: of each kind, as built and as sealed into a base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.sealed_index import SealedDescriptorIndex
from aerotile.domain.values.areas import Area
from aerotile.domain.values.descriptors import HnswParams, IndexKind, IndexMetadata, SearchHit, VectorStorage


class SealedAfterEachBuild(FaissDescriptorIndex):
    """Seals what is built, and answers from the sealed files."""

    sealed: SealedDescriptorIndex | None = None

    def rebuild(self, *arguments: Any, **named: Any) -> IndexMetadata:
        metadata = super().rebuild(*arguments, **named)
        keys, variants = self.tile_keys()
        folder = self.generations.root.with_name("base") / "generations" / str(metadata.generation)
        folder.mkdir(parents=True)
        written = self.seal_into(folder, np.unique(keys), variants, lambda done, total: None)
        self.sealed = SealedDescriptorIndex(
            folder, written.metadata_sha256, ef_search=metadata.params.ef_search, warm_up=False
        )
        return metadata

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        return super().search(descriptor, k) if self.sealed is None else self.sealed.search(descriptor, k)

    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        if self.sealed is None:
            return super().search_within(descriptor, k, area)
        return self.sealed.search_within(descriptor, k, area)

    def dimension(self) -> int:
        return super().dimension() if self.sealed is None else self.sealed.dimension()

    def close(self) -> None:
        super().close()
        if self.sealed is not None:
            self.sealed.close()


class OfEightBits(FaissDescriptorIndex):
    """Builds graphs over a byte for each component, however few descriptors there are."""

    def rebuild(self, *arguments: Any, **named: Any) -> IndexMetadata:
        return super().rebuild(*arguments, kind=IndexKind.HNSW_SQ8, **named)


class SealedOfEightBits(SealedAfterEachBuild, OfEightBits):
    """The same, sealed."""


INDEX_CLASSES = {
    "faiss": FaissDescriptorIndex,
    "sq8": OfEightBits,
    "sealed": SealedAfterEachBuild,
    "sealed-sq8": SealedOfEightBits,
}
HELD = [
    "faiss_float16",
    "faiss_float32",
    "sq8_float16",
    "sealed_float16",
    "sealed_float32",
    "sealed-sq8_float32",
]
"""What `of_kind` makes: an index, and how it stores its vectors."""


def of_kind(kind: str, root: Path, params: HnswParams) -> FaissDescriptorIndex:
    """One of `HELD`, empty."""
    name, storage = kind.split("_")
    return INDEX_CLASSES[name](root, params=params, storage=VectorStorage(storage))
