"""How many stored tiles the freshness gate would judge otherwise than it did when they were stored.

Sectors may have been loaded anew since, and a later version may judge them by another rule. Age is no reason:
each tile is judged as of the time when it was stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

import attrs

from ..policies.freshness import FreshnessDecision, FreshnessVerdict
from ..values.tiles import FreshnessLabel, TileId
from ..values.timestamps import microseconds_of


@attrs.frozen
class StoredLabel:
    """A stored tile and what the gate said of it."""

    tile_id: TileId
    captured_at: datetime
    stored_at: datetime
    label: FreshnessLabel


_DECISIONS = {
    FreshnessLabel.FRESH: FreshnessDecision.ACCEPT,
    FreshnessLabel.DOWNGRADED: FreshnessDecision.DOWNGRADE,
}


def count_changed_verdicts(
    stored: Iterable[StoredLabel], verdict_on: Callable[[TileId, int, datetime], FreshnessVerdict]
) -> Counter[FreshnessDecision]:
    """By the new decision, the tiles whose decision at the time of their write would be another one now."""
    changed: Counter[FreshnessDecision] = Counter()
    for tile in stored:
        verdict = verdict_on(tile.tile_id, microseconds_of(tile.captured_at), tile.stored_at)
        if verdict.decision is not _DECISIONS[tile.label]:
            changed[verdict.decision] += 1
    return changed
