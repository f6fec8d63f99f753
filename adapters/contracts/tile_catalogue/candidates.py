"""Access times and the candidates for eviction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ....domain.ports.tile_catalogue import TileCatalogue
from ....domain.values.catalogue_entries import EvictionCandidate
from ....domain.values.disk_usage import footprint
from ....domain.values.tiles import TileId, TileMetadataPersistent, VotingStatus
from ....domain.values.timestamps import microseconds_of
from ...memory.tile_catalogue import MemoryTileCatalogue
from ..generated_examples import FROM_A_FACTORY
from .rows import NOW, entry, imported, load, onboard, row
from .subject import MakeTileCatalogue, OfTileCatalogue


class Candidates(OfTileCatalogue):
    """Access times and the candidates for eviction."""

    def test_candidates_come_least_recently_used_first_and_only_those_that_may_be_evicted(
        self,
        catalogue: TileCatalogue,
    ) -> None:
        def at(tile_id: TileId, minutes: int, **changes: Any) -> TileMetadataPersistent:
            return row(tile_id, minutes, accessed_at=NOW + timedelta(minutes=minutes), **changes)

        tiles = [
            at(imported(1), 5),
            at(imported(2), 1, pinned=True),
            at(onboard(3), 0),
            at(onboard(4), 4, uploaded_at=NOW),
            at(onboard(5), 3, voting_status=VotingStatus.UPLOAD_GIVEUP),
            at(imported(6), 2),
        ]
        load(catalogue, tiles)
        order = [imported(6), onboard(5), onboard(4), imported(1)]
        sizes = {tile.tile_id: tile.disk_bytes for tile in tiles}
        assert catalogue.lru_candidates(10) == [EvictionCandidate(t, sizes[t]) for t in order]
        assert [c.tile_id for c in catalogue.lru_candidates(2)] == order[:2]
        catalogue.note_accesses([imported(6), imported(99)], [microseconds_of(NOW + timedelta(minutes=9)), 5])
        assert [c.tile_id for c in catalogue.lru_candidates(10)] == [*order[1:], imported(6)]
        assert imported(99) not in catalogue
        onboard_only = catalogue.lru_candidates(10, onboard_only=True)
        assert [c.tile_id for c in onboard_only] == [onboard(5), onboard(4)]
        assert catalogue.lru_candidates(1, onboard_only=True) == onboard_only[:1]
        taken = {tile_id: footprint(size) for tile_id, size in sizes.items()}
        assert catalogue.evictable_bytes() == sum(taken[t] for t in order)
        assert catalogue.evictable_bytes(onboard_only=True) == taken[onboard(5)] + taken[onboard(4)]
        assert catalogue.footprint_bytes() == sum(taken.values())
        assert catalogue.footprint_bytes(onboard_only=True) == sum(taken[onboard(x)] for x in (3, 4, 5))

    def test_an_access_time_never_goes_back(self, catalogue: TileCatalogue) -> None:
        catalogue.add(row(imported(1)))
        catalogue.note_accesses([imported(1)], np.array([microseconds_of(NOW) - 1]))
        assert catalogue.get(imported(1)) == entry(row(imported(1)))

    def test_accesses_need_a_time_each(self, catalogue: TileCatalogue) -> None:
        catalogue.add(row(imported(1)))
        with pytest.raises(ValueError, match="1 times"):
            catalogue.note_accesses([imported(1), imported(2)], [microseconds_of(NOW) + 1])
        assert catalogue.get(imported(1)) == entry(row(imported(1)))

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_limit_below_one_is_refused(self, catalogue: TileCatalogue, limit: int) -> None:
        with pytest.raises(ValueError, match="limit must be 1 or more"):
            catalogue.lru_candidates(limit)

    @FROM_A_FACTORY
    @given(
        accesses=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60),
        limit=st.integers(1, 70),
    )
    def test_the_candidates_are_those_of_the_reference_also_of_tiles_used_at_once(
        self, new_catalogue: MakeTileCatalogue, accesses: list[tuple[int, bool]], limit: int
    ) -> None:
        rows = [
            row(imported(x), x, accessed_at=NOW + timedelta(seconds=seconds), pinned=pinned)
            for x, (seconds, pinned) in enumerate(accesses)
        ]
        reference, catalogue = MemoryTileCatalogue(), new_catalogue()
        load(reference, rows)
        load(catalogue, rows)
        assert catalogue.lru_candidates(limit) == reference.lru_candidates(limit)
