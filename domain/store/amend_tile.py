"""Putting a tile's capture date right: the tile is judged anew, and the change is on the flight record.

The true date is stored whatever the verdict on it: a date that is known to be wrong protects nobody. A tile
that a write would now refuse stays stored with the label `downgraded`; each read judges it as of then, and an
operator may delete it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..errors import TileNotFoundError
from ..make_events import amended_event
from ..policies.freshness import FreshnessDecision, check_capture_time
from ..ports.tile_rows import TileRows
from ..ports.tile_store import AmendedTile, SupportsLocalWrites
from ..values.tiles import FreshnessLabel, TileId
from ..values.timestamps import microseconds_of
from ..values.validators import check_aware_utc
from .tile_store_parts import TileStoreParts


def amend_tile(parts: TileStoreParts, tile_id: TileId, captured_at: datetime) -> AmendedTile:
    """See `SupportsLocalWrites.amend_capture_time`."""
    check_aware_utc(captured_at, "captured_at")
    now = parts.clock.now()
    check_capture_time(captured_at, now, tile_id)
    verdict = parts.gate.verdict_on(tile_id, microseconds_of(captured_at), now)
    label = FreshnessLabel.DOWNGRADED
    if verdict.decision is FreshnessDecision.ACCEPT:
        label = FreshnessLabel.FRESH
    with parts.sync.changing([tile_id]):
        before = parts.rows.get(tile_id)
        if before is None:
            raise TileNotFoundError(tile_id)
        stored = parts.rows.amend(tile_id, captured_at, label)
        parts.sync.add_changed(stored)
    parts.recorder.record(amended_event(stored, before.captured_at, verdict.decision))
    return AmendedTile(stored, before.captured_at, verdict)


def amend_tiles(
    tile_ids: Sequence[TileId], captured_at: datetime, *, rows: TileRows, store: SupportsLocalWrites
) -> list[AmendedTile]:
    """Put the capture date of several tiles right, each durably and on the flight record.

    When any tile has no row, no tile is changed. Raises what `amend_capture_time` raises.
    """
    known = rows.committed_among(tile_ids)
    absent = [tile_id for tile_id in tile_ids if tile_id not in known]
    if absent:
        raise TileNotFoundError(*absent, remedy="leave it out; no tile was changed")
    return [store.amend_capture_time(tile_id, captured_at) for tile_id in tile_ids]
