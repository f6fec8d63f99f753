"""The advisory locks: two numbers name a lock of the whole database, one number that of a tile."""

from __future__ import annotations

from uuid import UUID

_AEROTILE = 0x4145524F
MIGRATION_LOCK = (_AEROTILE, 1)
STORE_LOCK = (_AEROTILE, 2)
"""Shared from INSERT to COMMIT; exclusive for a reader that must see no half-done write."""

LOCK_SHARED = "SELECT pg_advisory_xact_lock_shared(%s, %s)"
LOCK_EXCLUSIVE = "SELECT pg_advisory_xact_lock(%s, %s)"
LOCK_TILE = "SELECT pg_advisory_lock(%s)"
UNLOCK_TILE = "SELECT pg_advisory_unlock(%s)"
AWAIT_TILES = """
    SELECT pg_advisory_lock_shared(tile), pg_advisory_unlock_shared(tile) FROM unnest(%s::bigint[]) AS tile
"""
"""Waits for the lock of each tile in turn and holds none of them; `tile_rows` says why."""


def tile_lock(tile_uuid: UUID) -> int:
    """The number of a tile's advisory lock: the first half of its UUID, as a signed 64-bit integer."""
    return int.from_bytes(tile_uuid.bytes[:8], "big", signed=True)
