"""The contract of `DescriptorIndex`, held by FAISS in both storages and by the exact search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.ports.descriptor_index import DescriptorIndex
from aerotile.domain.values.descriptors import HnswParams, VectorStorage
from aerotile.testing import DescriptorIndexContract, MakeDescriptorIndex, MemoryDescriptorIndex


class TestDescriptorIndex(DescriptorIndexContract):
    @pytest.fixture(params=["faiss_float16", "faiss_float32", "memory"])
    def make_index(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeDescriptorIndex]:
        made: list[DescriptorIndex] = []

        def make(params: HnswParams) -> DescriptorIndex:
            if request.param == "memory":
                made.append(MemoryDescriptorIndex(params))
            else:
                storage = VectorStorage(request.param.removeprefix("faiss_"))
                made.append(FaissDescriptorIndex(tmp_path / "index", params=params, storage=storage))
            return made[-1]

        yield make
        for index in made:
            index.close()
