"""The tile key: a tile's identity as one signed 64-bit integer.

Bits, from the highest: 0 (sign), 5 of zoom, 44 of the Morton interleave of x and y (y in the odd bits), 14 of
the variant ordinal. Keys sort by zoom and then along the Z-curve, so tiles that are near each other on the
ground are near each other in a sorted array. The key is the id inside FAISS.

The variant ordinal names a (source, flight) pair in a `VariantTable`, which travels with whatever stores
keys, so a key decodes to a `TileId` without a database.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import attrs

from .tiles import TileId, TileSource
from .validators import check_kind, check_whole, taken_as

VARIANT_BITS = 14
MORTON_BITS = 44
MAX_VARIANTS = 1 << VARIANT_BITS
_MORTON_MASK = (1 << MORTON_BITS) - 1

Variant = tuple[TileSource, UUID | None]

_FIXED_VARIANTS: tuple[Variant, ...] = ((TileSource.SATELLITE_PROVIDER, None), (TileSource.IMPORTED, None))
FIRST_FLIGHT_ORDINAL = len(_FIXED_VARIANTS)
"""A tile is onboard where its variant ordinal is this or more."""
MAX_FLIGHTS = MAX_VARIANTS - FIRST_FLIGHT_ORDINAL
"""The most flights that the keys of one table tell apart."""


def _spread(value: int) -> int:
    """Move bit i of a 22-bit number to bit 2i (magic-number spreading, as in "Bit Twiddling Hacks")."""
    value = (value | value << 16) & 0x0000FFFF0000FFFF
    value = (value | value << 8) & 0x00FF00FF00FF00FF
    value = (value | value << 4) & 0x0F0F0F0F0F0F0F0F
    value = (value | value << 2) & 0x3333333333333333
    return (value | value << 1) & 0x5555555555555555


def _gather(value: int) -> int:
    """The inverse of `_spread`: move bit 2i to bit i."""
    value &= 0x5555555555555555
    value = (value | value >> 1) & 0x3333333333333333
    value = (value | value >> 2) & 0x0F0F0F0F0F0F0F0F
    value = (value | value >> 4) & 0x00FF00FF00FF00FF
    value = (value | value >> 8) & 0x0000FFFF0000FFFF
    return (value | value >> 16) & 0x00000000FFFFFFFF


def morton(x: int, y: int) -> int:
    """The Z-curve position of a grid cell."""
    return _spread(x) | _spread(y) << 1


def _flights(flights: Iterable[UUID]) -> tuple[UUID, ...]:
    return taken_as(flights, UUID, "flights")


@attrs.frozen
class VariantTable:
    """Which (source, flight) each variant ordinal names.

    Ordinals 0 and 1 are the satellite provider and imports, always; flights follow in the order in which
    they were first seen. A table only grows: a larger one reads every key of a smaller one.
    """

    flights: tuple[UUID, ...] = attrs.field(default=(), converter=_flights)
    """The flight of each ordinal from 2 on."""
    _ordinals: dict[UUID, int] = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if len(self.flights) > MAX_FLIGHTS:
            raise ValueError(
                f"a table names at most {MAX_VARIANTS} variants, got {len(self.flights)} flights"
            )
        if len(set(self.flights)) != len(self.flights):
            raise ValueError(f"each flight has one ordinal, got {self.flights!r}")
        ordinals = {flight: place + len(_FIXED_VARIANTS) for place, flight in enumerate(self.flights)}
        object.__setattr__(self, "_ordinals", ordinals)

    @classmethod
    def naming(cls, tile_ids: Iterable[TileId]) -> VariantTable:
        """The smallest table that can encode all `tile_ids`."""
        return cls().extended(tile_ids)

    def extended(self, tile_ids: Iterable[TileId]) -> VariantTable:
        """This table with the flights of `tile_ids` that it lacks appended; itself when it lacks none."""
        known = taken_as(tile_ids, TileId, "tile_ids")
        missing = {t.flight_id: None for t in known if t.flight_id and t.flight_id not in self._ordinals}
        return VariantTable((*self.flights, *missing)) if missing else self

    def ordinal(self, source: TileSource, flight_id: UUID | None) -> int:
        """The ordinal of a variant. Raises `KeyError` for a flight that the table does not name."""
        check_kind(source, TileSource, "source")
        check_kind(flight_id, UUID, "flight_id", or_none=True)
        return self._ordinal_of(source, flight_id)

    def _ordinal_of(self, source: TileSource, flight_id: UUID | None) -> int:
        if source is TileSource.SATELLITE_PROVIDER:
            return 0
        if source is TileSource.IMPORTED:
            return 1
        if flight_id is None:
            raise KeyError("an onboard tile without a flight has no variant")
        return self._ordinals[flight_id]

    def variant(self, ordinal: int) -> Variant:
        """The (source, flight) that an ordinal names. Raises `KeyError` when it names none."""
        ordinal = check_whole(ordinal, "ordinal")
        if 0 <= ordinal < len(_FIXED_VARIANTS):
            return _FIXED_VARIANTS[ordinal]
        place = ordinal - len(_FIXED_VARIANTS)
        if not 0 <= place < len(self.flights):
            raise KeyError(f"variant ordinal {ordinal} is not in the table")
        return TileSource.ONBOARD, self.flights[place]


def encode_tile_key(tile_id: TileId, variants: VariantTable) -> int:
    """The key of a tile. Raises `KeyError` when `variants` does not name its flight."""
    check_kind(tile_id, TileId, "tile_id")
    check_kind(variants, VariantTable, "variants")
    ordinal = variants._ordinal_of(tile_id.source, tile_id.flight_id)
    place = tile_id.zoom_level << MORTON_BITS | morton(tile_id.x, tile_id.y)
    return place << VARIANT_BITS | ordinal


def decode_tile_key(key: int, variants: VariantTable) -> TileId:
    """The tile that a key names. Raises `ValueError` or `KeyError` for a key that names none."""
    key = check_whole(key, "key")
    check_kind(variants, VariantTable, "variants")
    if not -(1 << 63) <= key < 1 << 63:
        raise ValueError(f"key must fit 64 bits, got {key}")
    source, flight_id = variants.variant(key & (MAX_VARIANTS - 1))
    place = key >> VARIANT_BITS
    curve = place & _MORTON_MASK
    return TileId(place >> MORTON_BITS, _gather(curve), _gather(curve >> 1), source, flight_id)
