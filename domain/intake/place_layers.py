"""`PlaceLayers`: what the sources of a mosaic show of one place, each below the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs
import numpy as np

from ..errors import ImageryPlaceError
from ..ports.imagery_source import ImageryTile, TilePlace
from ..ports.picture_codec import PictureCodec
from ..values.pictures import MaskedPicture


@attrs.frozen(eq=False)
class PlaceRead:
    """How reading one place of the mosaic ended."""

    place: TilePlace
    sources: Sequence[int]
    """The numbers of the sources that `tile` is of, the uppermost first."""
    tile: ImageryTile | None
    """None: no source shows ground there."""
    captured_at: datetime | None = None
    """The oldest capture time of its sources; None where one of them says none."""
    faults: Sequence[tuple[int, ImageryPlaceError]] = ()
    """What was wrong there, by the number of the source."""
    is_unchanged: bool = False
    """Whether its source says that the stored tile is what it has there; there is no `tile` then."""


@attrs.define(eq=False)
class PlaceLayers:
    """The layers of one place. A tile that is whole by itself is neither decoded nor encoded."""

    codec: PictureCodec
    _sources: list[int] = attrs.field(factory=list, init=False)
    _captured: list[datetime | None] = attrs.field(factory=list, init=False)
    _made_of: list[str] = attrs.field(factory=list, init=False)
    _top: ImageryTile | None = attrs.field(default=None, init=False)
    _ground: MaskedPicture | None = attrs.field(default=None, init=False)
    """All layers as one; None where nothing is missing of the uppermost."""

    @property
    def is_whole(self) -> bool:
        """Whether every pixel shows ground."""
        return self._top is not None and (self._ground is None or bool(self._ground.valid.all()))

    def add(self, number: int, tile: ImageryTile, captured_at: datetime | None) -> None:
        """Put the tile of a source below the others; one that shows nothing new is left out.

        Raises `TileMetadataError` for a JPEG that has to be decoded and can't be.
        """
        if self._top is None:
            self._top, self._ground = tile, tile.part
        elif self._ground is not None:
            ground = self._ground.over(self._decoded(tile))
            if np.array_equal(ground.valid, self._ground.valid):
                return
            self._ground = ground
        self._sources.append(number)
        self._captured.append(captured_at)
        self._made_of.append(tile.encoded_from or "JPEG")

    def as_read(self, place: TilePlace, faults: Sequence[tuple[int, ImageryPlaceError]]) -> PlaceRead:
        """The layers as one tile."""
        tile = self._top
        if len(self._sources) > 1 and self._ground is not None:
            tile = ImageryTile(
                place=place,
                pixels=self.codec.encode(self._ground.pixels) if self.is_whole else None,
                encoded_from=f"mosaic ({', '.join(dict.fromkeys(self._made_of))})",
                part=None if self.is_whole else self._ground,
            )
        known = [one for one in self._captured if one is not None]
        oldest = min(known) if known and len(known) == len(self._captured) else None
        return PlaceRead(place, self._sources, tile, oldest, faults)

    def _decoded(self, tile: ImageryTile) -> MaskedPicture:
        if tile.part is not None:
            return tile.part
        assert tile.pixels is not None
        return MaskedPicture.whole(self.codec.decode(tile.pixels))
