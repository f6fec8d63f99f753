"""A disk budget in front of a store that reserves no room itself."""

from __future__ import annotations

import pytest
from budgeted_cache import Cache, OneByOneStore, imported, metadata_of, pixels_of

from aerotile.domain.errors import TileNotFoundError
from aerotile.domain.ports.tile_store import SupportsLocalReads
from aerotile.domain.store.budgeted_store import BudgetEnforcedTileStore
from aerotile.domain.store.disk_budget import CacheBudgetEnforcer
from aerotile.domain.values.disk_usage import footprint


def test_any_tile_store_can_be_kept_within_a_budget() -> None:
    unbudgeted = Cache.of(1 << 30)
    enforcer = CacheBudgetEnforcer(
        unbudgeted.store.delete_tile,
        unbudgeted.store.catalogue,
        committed_bytes=unbudgeted.store.catalogue.footprint_bytes,
        budget_bytes=2 * footprint(100),
        eviction_batch_size=3,
        recorder=unbudgeted.recorder,
    )
    store = BudgetEnforcedTileStore(OneByOneStore(unbudgeted.store), enforcer)
    pixels = pixels_of(100)
    for x in range(3):
        store.write_tile(pixels, metadata_of(imported(x), pixels))
    assert unbudgeted.rows.total_disk_bytes() == 200
    assert not isinstance(store, SupportsLocalReads)
    with pytest.raises(TileNotFoundError):
        store.read_tile_pixels(imported(0))
