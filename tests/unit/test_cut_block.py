"""The tiles of one block: every gate of an intake, and a count for each place that gives none."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

import numpy as np

from aerotile.adapters.memory.imagery_source import MemoryImagerySource
from aerotile.adapters.memory.picture_codec import MemoryPictureCodec
from aerotile.adapters.memory.picture_decoder import MemoryPictureDecoder
from aerotile.domain.errors import ImageryPlaceError
from aerotile.domain.intake.cut_block import CutTiles, cut_block
from aerotile.domain.intake.mosaic import Mosaic
from aerotile.domain.intake.terms import ProvisionTerms
from aerotile.domain.policies.jpeg import walk_jpeg
from aerotile.domain.ports.imagery_source import ImageryFacts, ImageryTile, TilePlace
from aerotile.domain.ports.picture_decoder import DecodedPicture
from aerotile.domain.values.pictures import MaskedPicture

SIDE = 256
HALF = MaskedPicture(
    np.zeros((SIDE, SIDE, 3), np.uint8), np.broadcast_to(np.arange(SIDE) < SIDE // 2, (SIDE, SIDE))
)
"""A picture that shows ground in its west."""
WHEN, EARLIER = datetime(2026, 5, 1, tzinfo=timezone.utc), datetime(2024, 5, 1, tzinfo=timezone.utc)


def picture(seed: int) -> bytes:
    """The structure of a JPEG whose frame is `SIDE` x `SIDE` pixels."""
    frame = b"\xff\xc0\x00\x0b\x08" + SIDE.to_bytes(2, "big") * 2 + b"\x01\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes([seed, 0, 0])
    return b"\xff\xd8" + frame + scan + b"\xff\xd9"


def tile(x: int, **facts: object) -> ImageryTile:
    return ImageryTile(place=TilePlace(8, x, 0), pixels=picture(x), **facts)  # type: ignore[arg-type]  # by name


def cut(
    source: MemoryImagerySource, decoder: MemoryPictureDecoder | None = None, **terms: object
) -> CutTiles:
    mosaic = Mosaic.of([source], MemoryPictureCodec())
    (block,) = mosaic.blocks()
    return cut_block(
        mosaic,
        block,
        ProvisionTerms(**terms),  # type: ignore[arg-type]  # by name
        tile_size_pixels=SIDE,
        walk_jpeg=walk_jpeg,
        decoder=decoder or MemoryPictureDecoder({}),
    )


def test_every_place_is_a_tile_or_counted() -> None:
    fault = ImageryPlaceError("is an HTML page", place=TilePlace(8, 3, 0), kind="an HTML page")
    answers = {
        TilePlace(8, 1, 0): tile(1),
        TilePlace(8, 2, 0): tile(2, encoded_from="PNG"),
        TilePlace(8, 3, 0): fault,
        TilePlace(8, 4, 0): None,
        TilePlace(8, 5, 0): tile(5, part=HALF),
        TilePlace(8, 6, 0): ImageryTile(place=TilePlace(8, 6, 0), pixels=b"no picture"),
        TilePlace(8, 7, 0): tile(7),
    }
    decoder = MemoryPictureDecoder({picture(7): DecodedPicture(damage="its picture ends early")})
    found = cut(MemoryImagerySource(answers), decoder, captured_at=WHEN, dataset="ortho")
    assert [facts.tile_id.x for _, facts in found.tiles] == [1, 2]
    for pixels, facts in found.tiles:
        assert facts.content_sha256 == hashlib.sha256(pixels).hexdigest()
        assert (facts.captured_at, facts.dataset, facts.disk_bytes) == (WHEN, "ortho", len(pixels))
    assert found.tiles[0][0] == picture(1)
    assert b"encoded anew by Aerotile from a PNG" in found.tiles[1][0]
    assert (found.counts["verbatim"], found.counts["encoded from a PNG"]) == (1, 1)
    assert found.counts.total() == len(answers)
    assert found.counts["refused"] == len(found.refusals) == 3
    assert (found.counts["verbatim"], found.counts["encoded from a PNG"]) == (1, 1)
    assert sum(found.counts.values()) == len(answers)
    assert found.counts["left out: they show no ground"] == 1
    assert found.counts["left out: a part of them shows no ground"] == 1
    assert [refusal.tile for refusal in found.refusals] == [f"imported/8/{x}/0" for x in (3, 6, 7)]
    assert found.refusals[2].message.endswith("its picture ends early")


def test_dates_are_the_plans_or_else_the_places_or_else_the_sources() -> None:
    places = {TilePlace(8, 1, 0): tile(1), TilePlace(8, 2, 0): tile(2, captured_at=EARLIER)}
    dated = MemoryImagerySource(places, facts=ImageryFacts(kind="memory", captured_at=WHEN))
    assert [facts.captured_at for _, facts in cut(dated).tiles] == [WHEN, EARLIER]
    assert [facts.captured_at for _, facts in cut(dated, captured_at=EARLIER).tiles] == [EARLIER, EARLIER]
    undated = cut(MemoryImagerySource(places))
    assert [facts.tile_id.x for _, facts in undated.tiles] == [2]
    assert undated.counts["left out: no capture date is known"] == 1


def test_tiles_that_show_ground_in_a_part_are_taken_when_that_is_asked_for() -> None:
    found = cut(
        MemoryImagerySource({TilePlace(8, 1, 0): tile(1, part=HALF)}),
        captured_at=WHEN,
        take_partial=True,
    )
    assert len(found.tiles) == 1
    assert found.counts["taken although a part of them shows no ground"] == 1
