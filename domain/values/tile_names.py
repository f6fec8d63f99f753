"""Names that Aerotile and the satellite provider derive alike, each on its own, from a grid position.

These functions trust their arguments, because every write derives two names. The public functions,
which check, are in `tiles`.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha1
from uuid import UUID

NAMESPACE = UUID("5b8d0c2e-1a4f-4b3a-8c9d-e7f6a3b2c1d0")
ZERO_UUID = UUID(int=0)
_ZERO_TEXT = str(ZERO_UUID)

_hashed_namespace = sha1(NAMESPACE.bytes, usedforsecurity=False)
_VERSION_AND_VARIANT = (0x5000 << 64) | (0x8000 << 48)
_OTHER_BITS = ~((0xF000 << 64) | (0xC000 << 48))


def _uuid5(name: str) -> UUID:
    """`uuid.uuid5(NAMESPACE, name)` (RFC 9562, 5.5) at half of its cost: every write derives two."""
    hashed = _hashed_namespace.copy()
    hashed.update(name.encode())
    value = int.from_bytes(hashed.digest()[:16], "big")
    return UUID(int=value & _OTHER_BITS | _VERSION_AND_VARIANT)


def tile_uuid_of(zoom_level: int, x: int, y: int, source: str, flight_id: UUID | None) -> UUID:
    """UUIDv5 of `"{zoom}/{x}/{y}/{source}/{flight or zero uuid}"`: one per stored tile.

    `source` is a `TileSource` or its value.
    """
    # An enumeration's own text differs between Python versions; its value does not.
    name = source.value if isinstance(source, Enum) else source
    return _uuid5(f"{zoom_level}/{x}/{y}/{name}/{_ZERO_TEXT if flight_id is None else flight_id}")


def location_hash_of(zoom_level: int, x: int, y: int) -> UUID:
    """UUIDv5 of `"{zoom}/{x}/{y}"`: the same for every source's tile of one place."""
    return _uuid5(f"{zoom_level}/{x}/{y}")
