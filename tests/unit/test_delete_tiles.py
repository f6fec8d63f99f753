"""Deleting tiles by id: all or none."""

from __future__ import annotations

import pytest
from budgeted_cache import Cache, imported

from aerotile.domain.errors import TileNotFoundError
from aerotile.domain.store.delete_tiles import delete_tiles


def test_deleted_tiles_are_gone_and_their_bytes_are_counted() -> None:
    cache = Cache.of(100_000)
    for x in range(3):
        cache.write(imported(x), 100 + x)
    assert delete_tiles([imported(0), imported(2)], rows=cache.rows, store=cache.store) == 202
    assert [row.tile_id for row in cache.rows.committed()] == [imported(1)]


def test_when_any_tile_has_no_row_no_tile_is_removed() -> None:
    cache = Cache.of(10_000)
    cache.write(imported(0))
    with pytest.raises(
        TileNotFoundError, match="no tile imported/8/7/0, imported/8/9/0 in the store"
    ) as caught:
        delete_tiles([imported(7), imported(0), imported(9)], rows=cache.rows, store=cache.store)
    assert caught.value.remedy == "leave it out; nothing was deleted"
    assert cache.store.tile_exists(imported(0))
