"""The contract of `DescriptorIndex`: every kind over FAISS, alone and in a base, and the exact search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from indexes_over_faiss import HELD, of_kind

from aerotile.domain.ports.descriptor_index import DescriptorIndex
from aerotile.domain.values.descriptors import HnswParams
from aerotile.testing import DescriptorIndexContract, MakeDescriptorIndex, MemoryDescriptorIndex


class TestDescriptorIndex(DescriptorIndexContract):
    @pytest.fixture(params=[*HELD, "memory"])
    def make_index(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeDescriptorIndex]:
        made: list[DescriptorIndex] = []

        def make(params: HnswParams) -> DescriptorIndex:
            if request.param == "memory":
                made.append(MemoryDescriptorIndex(params))
            else:
                made.append(of_kind(request.param, tmp_path / "index", params))
            return made[-1]

        yield make
        for index in made:
            index.close()
