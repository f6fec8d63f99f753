"""The inventory: files as arrays, and back again."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values.inventory import FoundFile, FoundKind, TileInventory
from aerotile.domain.values.tile_key import VARIANT_BITS, VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource

FLIGHTS = [UUID(int=number) for number in range(3)]


@st.composite
def found_files(draw: st.DrawFn) -> FoundFile:
    zoom_level = draw(st.integers(0, 22))
    place = st.integers(0, 2**zoom_level - 1)
    source = draw(st.sampled_from(TileSource))
    flight = draw(st.sampled_from(FLIGHTS)) if source is TileSource.ONBOARD else None
    kind = draw(st.sampled_from(FoundKind))
    tile_id = TileId(zoom_level, draw(place), draw(place), source, flight)
    return FoundFile(kind, tile_id, "a/path" if kind is FoundKind.TEMPORARY else None)


@given(st.lists(found_files(), unique=True))
def test_every_file_of_an_inventory_comes_out_again(files: list[FoundFile]) -> None:
    found = list(TileInventory.of(files))
    assert len(found) == len(files)
    assert set(found) == set(files)


def test_places_are_tile_keys_without_the_variant() -> None:
    tile_id = TileId(18, 152345, 90123, TileSource.ONBOARD, FLIGHTS[1])
    (variant,) = TileInventory.of([FoundFile(FoundKind.SIDECAR, tile_id)]).variants
    key = encode_tile_key(tile_id, VariantTable((FLIGHTS[1],)))
    assert (variant.source, variant.flight_id) == (TileSource.ONBOARD, FLIGHTS[1])
    assert variant.sidecars.tolist() == [key >> VARIANT_BITS]
    assert variant.tiles.tolist() == []
