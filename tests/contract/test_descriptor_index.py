"""The contract of `DescriptorIndex`: FAISS in both storages, alone and in a base, and the exact search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sealed_after_builds import SealedAfterEachBuild

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.ports.descriptor_index import DescriptorIndex
from aerotile.domain.values.descriptors import HnswParams, VectorStorage
from aerotile.testing import DescriptorIndexContract, MakeDescriptorIndex, MemoryDescriptorIndex


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
