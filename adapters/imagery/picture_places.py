"""The answers of places whose tiles are made of one picture."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...domain.errors import ImageryPlaceError
from ...domain.ports.imagery_source import ImageryTile, ReadPlace, TilePlace
from .pictures import PictureError, Quarter, TilePicture, tiles_of


def tiles_at(
    name: str,
    places: Sequence[TilePlace],
    content: bytes,
    tile_size: int,
    quarters: list[Quarter | None],
    decoded: Collection[TilePlace] = (),
) -> list[ReadPlace]:
    """The tiles made of one picture of the source `name`: the whole (None) or quarters, one a place.

    See `ImagerySource.read` for `decoded`.
    """
    try:
        made = tiles_of(content, tile_size, quarters, [place in decoded for place in places])
    except PictureError as error:
        return [_refused(name, place, error) for place in places]
    return [_answer(place, one) for place, one in zip(places, made, strict=True)]


def _answer(place: TilePlace, made: TilePicture) -> ReadPlace:
    if made.part is not None and not made.part.valid.any():
        return None
    return ImageryTile(
        place=place,
        pixels=made.pixels,
        encoded_from=made.encoded_from,
        part=made.part,
    )


def _refused(name: str, place: TilePlace, error: PictureError) -> ImageryPlaceError:
    return ImageryPlaceError(f"{name}: {place} {error}", place=place, kind=error.kind, remedy=error.remedy)
