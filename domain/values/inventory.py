"""The inventory: which files a store's folders hold, as arrays that compare with a catalogue's keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt

from .tile_key import VARIANT_BITS, VariantTable, decode_tile_key, encode_tile_key
from .tiles import TileId, TileSource

Places = npt.NDArray[np.int64]
"""Tile keys without their variant: zoom << 44 | Morton interleave of x and y."""


class FoundKind(str, Enum):
    """What a store's folders can hold."""

    TILE = "tile"
    SIDECAR = "sidecar"
    TEMPORARY = "temporary"
    REPLACEMENT = "replacement"
    """A tile under its second name: newer imagery that was not given the tile's own name yet."""


@attrs.frozen
class FoundFile:
    """A file in a store's folders."""

    kind: FoundKind
    tile_id: TileId
    path: str | None = None
    """Of a temporary file, relative to the store's root; where the others lie follows from the tile."""
    content_sha256: str | None = None
    """The digest in the name of a replacement."""


@attrs.frozen(eq=False)
class FoundVariant:
    """Files of one source and flight, in any order; a catalogue is searched fastest for sorted places."""

    source: TileSource
    flight_id: UUID | None
    tiles: Places
    sidecars: Places

    def files(self) -> Iterator[FoundFile]:
        """One by one."""
        table = VariantTable(() if self.flight_id is None else (self.flight_id,))
        ordinal = table.ordinal(self.source, self.flight_id)
        for kind, places in ((FoundKind.TILE, self.tiles), (FoundKind.SIDECAR, self.sidecars)):
            for place in places:
                yield FoundFile(kind, decode_tile_key(int(place) << VARIANT_BITS | ordinal, table))


@attrs.frozen(eq=False)
class TileInventory:
    """Every file of the store; iterating over it makes a `FoundFile` of each."""

    variants: tuple[FoundVariant, ...]
    """A source and flight with many files may be in several parts."""
    temporaries: tuple[FoundFile, ...]
    replacements: tuple[FoundFile, ...] = ()

    @classmethod
    def of(cls, found: Iterable[FoundFile]) -> TileInventory:
        """The inventory that iterates over the same files."""
        table = VariantTable()
        places: dict[tuple[TileSource, UUID | None], dict[FoundKind, list[int]]] = {}
        single: dict[FoundKind, list[FoundFile]] = {FoundKind.TEMPORARY: [], FoundKind.REPLACEMENT: []}
        for file in found:
            if file.kind in single:
                single[file.kind].append(file)
                continue
            tile_id = file.tile_id
            table = table.extended([tile_id])
            of_variant = places.setdefault((tile_id.source, tile_id.flight_id), {})
            of_kind = of_variant.setdefault(file.kind, [])
            of_kind.append(encode_tile_key(tile_id, table) >> VARIANT_BITS)
        variants = (
            FoundVariant(
                source,
                flight_id,
                np.array(of_variant.get(FoundKind.TILE, []), np.int64),
                np.array(of_variant.get(FoundKind.SIDECAR, []), np.int64),
            )
            for (source, flight_id), of_variant in places.items()
        )
        return cls(tuple(variants), tuple(single[FoundKind.TEMPORARY]), tuple(single[FoundKind.REPLACEMENT]))

    def __iter__(self) -> Iterator[FoundFile]:
        for variant in self.variants:
            yield from variant.files()
        yield from self.temporaries
        yield from self.replacements
