"""The contract of `SectorIndex`, held by the R-tree and by the linear scan."""

from __future__ import annotations

import pytest

from aerotile.adapters.rtree import RtreeSectorIndex
from aerotile.testing import MakeSectorIndex, MemorySectorIndex, SectorIndexContract


class TestSectorIndex(SectorIndexContract):
    @pytest.fixture(params=[RtreeSectorIndex, MemorySectorIndex], ids=lambda kind: kind.__name__)
    def make_index(self, request: pytest.FixtureRequest) -> MakeSectorIndex:
        made: MakeSectorIndex = request.param
        return made
