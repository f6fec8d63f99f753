"""The names that the satellite provider derives too: changing one breaks every deployed counterpart."""

from __future__ import annotations

from uuid import UUID

import pytest

from aerotile.domain.values.tile_names import NAMESPACE
from aerotile.domain.values.tiles import TileId, TileSource, derive_location_hash, derive_tile_id

FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")


@pytest.mark.parametrize(
    ("tile_id", "expected"),
    [
        (TileId(18, 152345, 90123, TileSource.SATELLITE_PROVIDER), "f7c6a3b0-c799-5ec8-b9ed-7b94a77b6ddf"),
        (TileId(18, 152345, 90123, TileSource.ONBOARD, FLIGHT), "fc29fd9c-1c0a-53ef-8b46-0df12ce73f18"),
        (TileId(0, 0, 0, TileSource.IMPORTED), "bac9f313-46b1-5a94-806f-a91f1bf1721a"),
    ],
)
def test_tile_uuids_match_the_locked_vectors(tile_id: TileId, expected: str) -> None:
    place = (tile_id.zoom_level, tile_id.x, tile_id.y)
    assert (
        tile_id.tile_uuid == derive_tile_id(*place, tile_id.source.value, tile_id.flight_id) == UUID(expected)
    )


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((18, 152345, 90123), "e5197791-5c2e-5e7a-ac53-00de0c7b9e7e"),
        ((0, 0, 0), "e59149ef-664b-5559-a13c-435133448c28"),
        ((22, 4194303, 4194303), "9bbf21ef-107c-5009-92d8-9e3a646aaf8c"),
    ],
)
def test_location_hashes_match_the_locked_vectors(place: tuple[int, int, int], expected: str) -> None:
    assert derive_location_hash(*place) == UUID(expected)


def test_the_location_hash_is_the_same_for_every_source() -> None:
    imported = TileId(18, 152345, 90123, TileSource.IMPORTED)
    onboard = TileId(18, 152345, 90123, TileSource.ONBOARD, FLIGHT)
    assert imported.location_hash == onboard.location_hash == derive_location_hash(18, 152345, 90123)
    assert imported.tile_uuid != onboard.tile_uuid


def test_the_namespace_is_the_one_that_the_provider_uses() -> None:
    assert UUID("5b8d0c2e-1a4f-4b3a-8c9d-e7f6a3b2c1d0") == NAMESPACE


@pytest.mark.parametrize("source", list(TileSource))
def test_a_source_and_its_value_name_the_same_tile(source: TileSource) -> None:
    flight = UUID(int=7) if source is TileSource.ONBOARD else None
    assert derive_tile_id(5, 1, 2, source, flight) == derive_tile_id(5, 1, 2, source.value, flight)
