"""The contract of `DescriptorIndex`: FAISS in both storages, alone and in a base, and the exact search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.sealed_index import SealedDescriptorIndex
from aerotile.domain.ports.descriptor_index import DescriptorIndex
from aerotile.domain.values.areas import Area
from aerotile.domain.values.descriptors import HnswParams, IndexMetadata, SearchHit, VectorStorage
from aerotile.testing import DescriptorIndexContract, MakeDescriptorIndex, MemoryDescriptorIndex


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


class TestDescriptorIndex(DescriptorIndexContract):
    @pytest.fixture(params=["faiss_float16", "faiss_float32", "sealed_float16", "sealed_float32", "memory"])
    def make_index(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeDescriptorIndex]:
        made: list[DescriptorIndex] = []

        def make(params: HnswParams) -> DescriptorIndex:
            if request.param == "memory":
                made.append(MemoryDescriptorIndex(params))
            else:
                kind, storage = request.param.split("_")
                index_class = FaissDescriptorIndex if kind == "faiss" else SealedAfterEachBuild
                made.append(index_class(tmp_path / "index", params=params, storage=VectorStorage(storage)))
            return made[-1]

        yield make
        for index in made:
            index.close()
