"""A lookup: what the index names, as far as the store can give it, judged as of now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

import numpy as np
import numpy.typing as npt
import pytest

from aerotile.adapters.memory.tile_files import MemoryTilePixelHandle
from aerotile.domain.errors import (
    BaseUnavailableError,
    ContentHashMismatchError,
    StoreUnavailableError,
    TileNotFoundError,
)
from aerotile.domain.find_tiles import find_tiles
from aerotile.domain.policies.freshness import FreshnessVerdict, judge_freshness
from aerotile.domain.values.areas import Area
from aerotile.domain.values.descriptors import SearchHit
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.sectors import SEEDED_RULES, SectorClassification
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
TILES = [TileId(4, x, 0, TileSource.IMPORTED) for x in range(4)]
QUERY = np.zeros(3, np.float32)
VERDICT = judge_freshness(
    TILES[0],
    NOW,
    NOW,
    [],
    {rule.classification: rule for rule in SEEDED_RULES},
    SectorClassification.STABLE_REAR,
)


class Index:
    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        return [SearchHit(tile_id, float(place)) for place, tile_id in enumerate(TILES[:k])]


class Store:
    """Gives a tile's column as its pixels; column 1 is gone and column 2 can't be read."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or StoreUnavailableError("the disk does not answer")

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        if tile_id.x == 1:
            raise TileNotFoundError(tile_id)
        if tile_id.x == 2:
            raise self.error
        return MemoryTilePixelHandle.of(bytes([tile_id.x, 9]))

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        return VERDICT


def test_the_nearest_tiles_come_with_their_pixels_and_their_verdicts() -> None:
    (found,) = find_tiles(QUERY, 1, index=Index(), store=Store())
    assert (found.tile_id, found.distance, found.verdict) == (TILES[0], 0.0, VERDICT)
    assert bytes(memoryview(found.pixels)) == b"\0\x09"
    found.pixels.close()


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("the disk does not answer"),
        ContentHashMismatchError("SHA-256", expected="a", actual="b", tile_id=TILES[2]),
        BaseUnavailableError("facts is damaged"),
    ],
)
def test_tiles_that_are_gone_unreadable_or_damaged_cost_no_other_candidate(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    found = find_tiles(QUERY, 4, index=Index(), store=Store(error))
    assert [candidate.tile_id for candidate in found] == [TILES[0], TILES[3]]
    assert [f"candidate {TILES[2]} is left out: {error}"] == caplog.messages
    for candidate in found:
        candidate.pixels.close()


def test_leaving_the_results_gives_up_the_pixels_of_every_candidate() -> None:
    found = find_tiles(QUERY, 4, index=Index(), store=Store())
    views = []

    def match() -> None:
        with found:
            views.append(memoryview(found[0].pixels))
            raise LookupError("no match")

    with pytest.raises(LookupError, match="no match"):
        match()
    assert bytes(views[0]) == b"\0\x09"
    for candidate in found:
        with pytest.raises(ValueError, match="closed"):
            candidate.pixels.share()


class FailingStore(Store):
    """Gives the first tile and has no memory for the last."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[TilePixelHandle] = []

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        if tile_id.x == 3:
            raise MemoryError
        self.given.append(super().read_tile_pixels(tile_id))
        return self.given[-1]


def test_a_lookup_that_raises_gives_up_the_candidates_before() -> None:
    store = FailingStore()
    with pytest.raises(MemoryError):
        find_tiles(QUERY, 4, index=Index(), store=store)
    (handle,) = store.given
    with pytest.raises(ValueError, match="closed"):
        handle.share()


class Recording(Store):
    def __init__(self) -> None:
        self.recorded: list[list[TileId]] = []

    def record_unknown_candidates(self, tile_ids: Sequence[TileId]) -> None:
        self.recorded.append(list(tile_ids))


class OnlyUnknown(Index):
    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        return [SearchHit(TileId(4, 1, y, TileSource.IMPORTED), float(y)) for y in range(k)]


def test_a_lookup_whose_candidates_are_all_unknown_is_logged_and_recorded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Recording()
    assert find_tiles(QUERY, 3, index=OnlyUnknown(), store=store) == []
    assert store.recorded == [[TileId(4, 1, y, TileSource.IMPORTED) for y in range(3)]]
    assert caplog.messages == ["none of the 3 candidates is in the store, for instance imported/4/1/0"]
    assert find_tiles(QUERY, 3, index=OnlyUnknown(), store=Store()) == []


def test_a_lookup_that_finds_one_tile_or_has_no_candidate_is_not_recorded() -> None:
    store = Recording()
    for found in find_tiles(QUERY, 2, index=Index(), store=store):
        found.pixels.close()
    assert find_tiles(QUERY, 0, index=OnlyUnknown(), store=store) == []
    assert store.recorded == []


class PlaceIndex(Index):
    def search_within(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        held = [t for t in TILES if area.touches(t.zoom_level, t.x, t.y)]
        return [SearchHit(tile_id, 0.5) for tile_id in held[:k]]


def test_with_a_prior_only_tiles_of_its_area_are_candidates() -> None:
    in_column_3 = Area((Bbox(84.0, -110.0, 85.0, -100.0),))
    (found,) = find_tiles(QUERY, 4, index=PlaceIndex(), store=Store(), near=in_column_3)
    assert (found.tile_id, found.distance) == (TILES[3], 0.5)
    found.pixels.close()


def test_a_prior_is_refused_for_an_index_that_can_not_be_held_to_it() -> None:
    with pytest.raises(TypeError, match="Index does not search within areas"):
        find_tiles(QUERY, 4, index=Index(), store=Store(), near=Area((Bbox(0, 0, 1, 1),)))
