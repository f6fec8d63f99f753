"""`ImagerySource`: imagery that an operator holds, seen as places of the tile grid."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

import attrs

from ..errors import ImageryPlaceError
from ..values.pictures import MaskedPicture
from ..values.tile_grid import GridRange


class TilePlace(NamedTuple):
    """A place of the grid."""

    zoom_level: int
    x: int
    y: int
    """From the north."""

    def __str__(self) -> str:
        return f"{self.zoom_level}/{self.x}/{self.y}"


class FoundPlace(NamedTuple):
    """A place that a source has, before it is read."""

    place: TilePlace
    size: int
    """Bytes of its JPEG: exact where it goes in verbatim, otherwise an estimate."""


@attrs.frozen(kw_only=True)
class ImageryFacts:
    """What a source says about all of its imagery; None where it says nothing."""

    kind: str
    """The format in the field's word, such as `MBTiles` or `GeoTIFF`."""
    name: str | None = None
    attribution: str | None = None
    licence: str | None = None
    captured_at: datetime | None = None
    """When the ground looked like that, for places without a time of their own."""
    captured_at_from: str | None = None
    """Where the source found that time, such as `its tag TIFFTAG_DATETIME`."""
    captured_at_is_the_files: bool = False
    """Whether that may be the time at which the file was made, and not that of the imagery."""
    left_out: Mapping[str, int] = attrs.field(factory=dict)
    """What lies in the source and is no place that it can read, such as a file without a number; by kind."""


@attrs.frozen(kw_only=True)
class ImageryTile:
    """The imagery of one place."""

    place: TilePlace
    pixels: bytes | None
    """A JPEG. Only its source has looked at it: every gate of the intake is still ahead.

    None where `part` is given: it is encoded when the sources below have filled it in, or it is taken so.
    """
    encoded_from: str | None = None
    """None: the source's bytes, verbatim. Otherwise what the JPEG was made of: `PNG`, `512 pixels`."""
    part: MaskedPicture | None = None
    """The picture before any encoding, where a part shows no ground or `read` asked for it; else None."""
    captured_at: datetime | None = None
    """The place's own capture time, where the source knows it."""
    version: str | None = None
    """What the source calls this state of the place, such as an ETag; for `ImagerySource.read`."""

    @property
    def valid_fraction(self) -> float:
        """The share of pixels that show ground."""
        return 1.0 if self.part is None else self.part.valid_fraction


class Unchanged(Enum):
    """The answer of a place that is as it was when the version that was named came from it."""

    UNCHANGED = "unchanged"


ReadPlace: TypeAlias = ImageryTile | ImageryPlaceError | Unchanged | None
"""How reading a place ended; None: the source has nothing there after all, as a server that answers 404."""


class ImagerySource(Protocol):
    """A named source of imagery, seen as tiles of the Web-Mercator grid of `tiles.tile_size_pixels`.

    A context manager that gives files and connections back. All calls but `stop` come from one thread at a
    time; a source that decodes, warps or fetches uses threads of its own, on all cores. No call writes to the
    source.
    """

    @property
    def name(self) -> str:
        """What the operator called it: a path, an address without its token; names it in reports."""

    @property
    def facts(self) -> ImageryFacts:
        """What the source says about its imagery."""

    @property
    def seconds_each(self) -> float:
        """About how long one place takes to read, by the source's limits or by rule of thumb."""

    @property
    def is_remote(self) -> bool:
        """Whether a read costs a server: a place that the store holds already is then not read again."""

    def zooms(self) -> Sequence[int]:
        """The zooms at which it has places, ascending. No place is enlarged from coarser imagery unasked."""

    def extent(self, zoom_level: int) -> GridRange | None:
        """A rectangle around every place that it has at a zoom; None for none. Costs no read of pixels."""

    def places(self, within: GridRange) -> Sequence[FoundPlace]:
        """Exactly the places that it has within a rectangle of one zoom, by column and row, each once.

        At most a few pictures are read, for an estimate. A server that doesn't list its tiles names every
        place within its bounds. Raises `ImagerySourceError`.
        """

    def read(
        self,
        places: Sequence[TilePlace],
        versions: Mapping[TilePlace, str] | None = None,
        decoded: Collection[TilePlace] = (),
    ) -> Iterator[ReadPlace]:
        """Read places of one block, at most a few hundred at any zooms; one answer each, in their order.

        `versions` are those of earlier answers. A source that is asked politely says `Unchanged` of a place
        whose version is still the one named, and sends no imagery; others read it as any place.

        `decoded` are places of which better sources show a part: what this one would encode for them is
        answered as `part`, so that the mosaic's tile is encoded once. A JPEG that goes in verbatim is not.

        What is wrong with one place is an `ImageryPlaceError` among the answers; the others go on.
        Raises `ImagerySourceError` where the source as a whole can't be read any more. Closing the iterator
        ends the reads under way.
        """

    def stop(self) -> None:
        """Read no more. From any thread.

        A read that may wait long raises `ImagerySourceError` soon; one that ends soon by itself goes on.
        """

    def __enter__(self) -> ImagerySource: ...

    def __exit__(self, *raised: object) -> None: ...
