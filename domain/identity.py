"""Names that Aerotile and the satellite provider derive alike, each on its own, from a grid position."""

from __future__ import annotations

from enum import Enum
from uuid import UUID, uuid5

NAMESPACE = UUID("5b8d0c2e-1a4f-4b3a-8c9d-e7f6a3b2c1d0")
ZERO_UUID = UUID(int=0)


def derive_tile_id(zoom_level: int, x: int, y: int, source: str, flight_id: UUID | None) -> UUID:
    """UUIDv5 of `"{zoom}/{x}/{y}/{source}/{flight or zero uuid}"`: one per stored tile.

    `source` is a `TileSource` or its value.
    """
    # An enumeration's own text differs between Python versions; its value does not.
    name = source.value if isinstance(source, Enum) else source
    return uuid5(NAMESPACE, f"{zoom_level}/{x}/{y}/{name}/{flight_id or ZERO_UUID}")


def derive_location_hash(zoom_level: int, x: int, y: int) -> UUID:
    """UUIDv5 of `"{zoom}/{x}/{y}"`: the same for every source's tile of one place."""
    return uuid5(NAMESPACE, f"{zoom_level}/{x}/{y}")
