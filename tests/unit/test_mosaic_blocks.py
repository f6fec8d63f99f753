"""The blocks of a mosaic: every place once, beside those that are made of the same pixels."""

from __future__ import annotations

import random

import pytest

from aerotile.adapters.memory.imagery_source import MemoryImagerySource
from aerotile.adapters.memory.picture_codec import MemoryPictureCodec
from aerotile.domain.intake.mosaic import Mosaic
from aerotile.domain.ports.imagery_source import ImageryTile, TilePlace
from aerotile.domain.values.areas import Area
from aerotile.domain.values.tile_grid import Bbox, tile_bbox

_BOX = Bbox(-30.0, -170.0, 55.0, 20.0)


def _some_places(rng: random.Random, zooms: list[int]) -> list[TilePlace]:
    """Clumps that reach over the edges of blocks and squares, and single places."""
    places = set()
    for zoom in zooms:
        last = (1 << zoom) - 1
        for _ in range(8):
            x, y = rng.randint(0, last), rng.randint(0, last)
            places |= {
                TilePlace(zoom, min(x + column, last), min(y + row, last))
                for column in range(rng.choice([1, 5, 20]))
                for row in range(rng.choice([1, 4, 18]))
            }
    return sorted(places)


def _source(places: list[TilePlace]) -> MemoryImagerySource:
    return MemoryImagerySource({place: ImageryTile(place=place, pixels=b"") for place in places})


@pytest.mark.parametrize("area", [None, Area([_BOX])], ids=["everywhere", "an area"])
@pytest.mark.parametrize("zooms", [[0, 1, 2, 3], [3, 4, 5, 6, 7, 8, 9], [2, 5, 8], [4]], ids=str)
def test_every_place_is_in_one_block_with_what_lies_above_it(zooms: list[int], area: Area | None) -> None:
    rng = random.Random(5)
    held = [_some_places(rng, zooms), _some_places(rng, zooms[:-1] or zooms)]
    sources = [_source(places) for places in held]
    blocks = list(Mosaic.of(sources, MemoryPictureCodec(), zooms=zooms, area=area).blocks())
    found = [place for block in blocks for place in block.places]
    wanted = {
        place
        for place in held[0] + held[1]
        if area is None or tile_bbox(place.x, place.y, place.zoom_level).intersects(_BOX)
    }
    assert len(found) == len(set(found))
    assert set(found) == wanted
    home = {}
    for number, block in enumerate(blocks):
        assert len(block.places) <= 341
        levels = [place.zoom_level for place in block.places]
        assert levels == sorted(levels)
        for place, numbers in block.places.items():
            assert numbers == [one for one in (0, 1) if place in held[one]]
            home[place] = number
    top = {zoom: zooms[-1] for zoom in zooms if zooms[-1] - zoom <= 4}
    for place in found:
        parent = TilePlace(place.zoom_level - 1, place.x >> 1, place.y >> 1)
        if parent.zoom_level in top and parent in home:
            assert home[parent] == home[place]
