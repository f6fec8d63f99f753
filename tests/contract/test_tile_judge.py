"""The contract of `TileJudge`, held by the compiled grid and by the list of sectors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aerotile.adapters.rtree import RtreeSectorIndex
from aerotile.domain.policies.freshness import Rules
from aerotile.domain.ports.sector_index import SupportsJudging, TileJudge
from aerotile.domain.store.freshness_gate import SectorListJudge
from aerotile.domain.values.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from aerotile.testing import MakeTileJudge, MemorySectorIndex, TileJudgeContract


def listing_judge(
    sectors: Sequence[SectorBoundary], rules: Rules, default: SectorClassification
) -> TileJudge:
    return SectorListJudge(MemorySectorIndex(sectors), rules, default)


def grid_judge(sectors: Sequence[SectorBoundary], rules: Rules, default: SectorClassification) -> TileJudge:
    return RtreeSectorIndex(sectors).judge(rules, default)


class TestTileJudge(TileJudgeContract):
    @pytest.fixture(params=[grid_judge, listing_judge], ids=lambda make: make.__name__)
    def make_judge(self, request: pytest.FixtureRequest) -> MakeTileJudge:
        made: MakeTileJudge = request.param
        return made


def test_the_index_over_rtree_judges_by_itself_and_the_list_needs_no_ability() -> None:
    rules, rear = {rule.classification: rule for rule in SEEDED_RULES}, SectorClassification.STABLE_REAR
    assert isinstance(RtreeSectorIndex([]), SupportsJudging)
    assert not isinstance(MemorySectorIndex([]), SupportsJudging)
    assert isinstance(listing_judge([], rules, rear), TileJudge)
    assert isinstance(grid_judge([], rules, rear), TileJudge)
