"""The events of the flight record, one function a kind: what happened goes in, the event comes out.

`lookups/recorded_index.py` makes the event of a lookup, off the thread that searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .errors import FreshnessRejectionError
from .flight_events import LISTED_TILES, EventKind, FlightEvent, WriteStep
from .policies.clock_trust import ClockFault
from .policies.freshness import FreshnessDecision
from .values.lookups import PositionFix
from .values.recall_list import RecallList
from .values.sectors import FreshnessRule
from .values.tiles import TileId, TileMetadataPersistent


def write_event(stored: TileMetadataPersistent) -> FlightEvent:
    """A tile was committed."""
    return FlightEvent(
        EventKind.WRITE,
        "committed",
        {
            "tile": str(stored.tile_id),
            "tile_uuid": str(stored.tile_uuid),
            "content_sha256": stored.content_sha256,
            "disk_bytes": stored.disk_bytes,
            "freshness_label": stored.freshness_label.value,
        },
    )


def write_failed_event(tile_id: TileId, step: WriteStep, error: BaseException) -> FlightEvent:
    """A write was refused or failed at `step`; the world is as before it."""
    return FlightEvent(
        EventKind.WRITE_FAILED,
        step.value,
        {"tile": str(tile_id), "step": step.value, "error": type(error).__name__, "message": str(error)},
    )


def freshness_rejected_event(error: FreshnessRejectionError) -> FlightEvent:
    """A tile was too old for its sector, which refuses old tiles."""
    return FlightEvent(
        EventKind.FRESHNESS_REJECTED,
        "too_old",
        _freshness_facts(error.tile_id, error.age_seconds, error.rule),
    )


def freshness_downgraded_event(tile_id: TileId, age_seconds: float, rule: FreshnessRule) -> FlightEvent:
    """A tile was too old for its sector, which keeps old tiles with a label."""
    return FlightEvent(
        EventKind.FRESHNESS_DOWNGRADED, "too_old", _freshness_facts(tile_id, age_seconds, rule)
    )


def _freshness_facts(tile_id: TileId, age_seconds: float, rule: FreshnessRule) -> dict[str, Any]:
    return {
        "tile": str(tile_id),
        "age_seconds": age_seconds,
        "classification": rule.classification.value,
        "max_age_seconds": rule.max_age.total_seconds(),
    }


def eviction_batch_event(tile_ids: Sequence[TileId], freed_bytes: int) -> FlightEvent:
    """A batch of tiles made room for others."""
    return FlightEvent(
        EventKind.EVICTION_BATCH,
        "disk_budget",
        {
            "tiles": [str(t) for t in tile_ids[:LISTED_TILES]],
            "count": len(tile_ids),
            "freed_bytes": freed_bytes,
        },
    )


def amended_event(
    stored: TileMetadataPersistent, captured_at_before: datetime, decision: FreshnessDecision
) -> FlightEvent:
    """An operator put a tile's capture date right; `decision` is what a write would meet with the new one."""
    return FlightEvent(
        EventKind.AMENDED,
        "operator",
        {
            "tile": str(stored.tile_id),
            "tile_uuid": str(stored.tile_uuid),
            "captured_at_before": captured_at_before.isoformat(),
            "captured_at": stored.captured_at.isoformat(),
            "decision": decision.name.lower(),
            "freshness_label": stored.freshness_label.value,
        },
    )


def replaced_event(before: TileMetadataPersistent, stored: TileMetadataPersistent) -> FlightEvent:
    """Newer imagery of a tile was committed in the place of `before`."""
    return FlightEvent(
        EventKind.REPLACED,
        "newer_imagery",
        {
            "tile": str(stored.tile_id),
            "tile_uuid": str(stored.tile_uuid),
            "content_sha256_before": before.content_sha256,
            "captured_at_before": before.captured_at.isoformat(),
            "content_sha256": stored.content_sha256,
            "captured_at": stored.captured_at.isoformat(),
            "disk_bytes": stored.disk_bytes,
            "freshness_label": stored.freshness_label.value,
        },
    )


def lookup_unknown_event(tile_ids: Sequence[TileId]) -> FlightEvent:
    """A lookup whose candidates are all unknown to the store: index and store may not belong together."""
    return FlightEvent(
        EventKind.LOOKUP_UNKNOWN,
        "not_stored",
        {"tiles": [str(t) for t in tile_ids[:LISTED_TILES]], "count": len(tile_ids)},
    )


def upload_giveup_event(tile_id: TileId, attempts: int, reason: str) -> FlightEvent:
    """A tile was rejected once too often and leaves the pending uploads for good."""
    return FlightEvent(
        EventKind.UPLOAD_GIVEUP,
        "max_per_tile_attempts",
        {
            "tile": str(tile_id),
            "tile_uuid": str(tile_id.tile_uuid),
            "attempts": attempts,
            "reason": reason,
        },
    )


def upload_requeued_event(tile_id: TileId, generation: int) -> FlightEvent:
    """An operator put a given-up tile back into the queue, where its `generation`, counted from 1, begins."""
    return FlightEvent(
        EventKind.UPLOAD_REQUEUED,
        "operator",
        {"tile": str(tile_id), "tile_uuid": str(tile_id.tile_uuid), "generation": generation},
    )


def quarantined_event(
    tile: TileMetadataPersistent, reason: str, found_sha256: str | None, kept_at: str | None
) -> FlightEvent:
    """A repair took a tile out of the store, because its file is damaged or gone (`reason`)."""
    return FlightEvent(
        EventKind.QUARANTINED,
        reason,
        {
            "tile": str(tile.tile_id),
            "tile_uuid": str(tile.tile_uuid),
            "content_sha256": tile.content_sha256,
            "found_sha256": found_sha256,
            "kept_at": kept_at,
        },
    )


def clock_untrusted_event(fault: ClockFault) -> FlightEvent:
    """The clock can't be right: wall times from here on are not to be relied on."""
    return FlightEvent(EventKind.CLOCK_UNTRUSTED, fault.reason.value, _clock_facts(fault))


def clock_trusted_event(former: ClockFault) -> FlightEvent:
    """The clock is plausible again; `former` was its fault until now."""
    return FlightEvent(EventKind.CLOCK_TRUSTED, "plausible_again", _clock_facts(former))


def _clock_facts(fault: ClockFault) -> dict[str, Any]:
    return {"clock_says": fault.clock_says.isoformat(), "known": fault.known.isoformat()}


def base_opened_event(
    generation: str, manifest_sha256: str, signed_by: Sequence[str], *, is_trusted: bool
) -> FlightEvent:
    """A sealed base was opened; `signed_by` are the pinned keys whose signatures it has."""
    return FlightEvent(
        EventKind.BASE_OPENED,
        "trusted" if is_trusted else "untrusted",
        {"generation": generation, "manifest_sha256": manifest_sha256, "signed_by": list(signed_by)},
    )


def base_tile_damaged_event(tile_id: TileId, content_sha256: str, found_sha256: str) -> FlightEvent:
    """A tile of the sealed base has other bytes than were sealed."""
    return FlightEvent(
        EventKind.BASE_TILE_DAMAGED,
        "sha256_differs",
        {"tile": str(tile_id), "content_sha256": content_sha256, "found_sha256": found_sha256},
    )


def lookups_thinned_event(count: int) -> FlightEvent:
    """So many lookups are not on the record, because there was no allowance of bytes for them."""
    return FlightEvent(EventKind.LOOKUP_THINNED, "bytes_per_hour", {"count": count})


def fix_event(fix: PositionFix) -> FlightEvent:
    """The flight stack derived its position from a tile."""
    return FlightEvent(
        EventKind.FIX,
        "flight_stack",
        {
            "tile": str(fix.tile_id),
            "lat": fix.lat,
            "lon": fix.lon,
            "fixed_at": fix.fixed_at.isoformat(),
            "error_m": fix.error_m,
            "lookup": fix.lookup,
        },
    )


def recall_in_force_event(recalls: RecallList, list_sha256: str, signed_by: Sequence[str]) -> FlightEvent:
    """A recall list is in force; `list_sha256` is of what was signed, by the pinned keys `signed_by`."""
    return FlightEvent(
        EventKind.RECALL_IN_FORCE,
        "in_force",
        {
            "number": recalls.number,
            "why": recalls.reason,
            "list_sha256": list_sha256,
            "signed_by": list(signed_by),
            "entries": recalls.entries,
        },
    )


def recall_refused_event(in_force: RecallList | None, error: str) -> FlightEvent:
    """A list can't be trusted; `in_force` stays in force."""
    number = None if in_force is None else in_force.number
    return FlightEvent(EventKind.RECALL_REFUSED, "not_trusted", {"number": number, "error": error})


def recalled_event(call: str, in_force: RecallList | None, tile_ids: Sequence[TileId]) -> FlightEvent:
    """The list in force kept stored tiles from a lookup or a read (`call`)."""
    return FlightEvent(
        EventKind.RECALLED,
        call,
        {
            "number": None if in_force is None else in_force.number,
            "tiles": [str(t) for t in tile_ids[:LISTED_TILES]],
            "count": len(tile_ids),
        },
    )


def recorder_dropped_event(reason_code: str, dropped: int) -> FlightEvent:
    """The recorder lost events rather than block its caller or fail it."""
    return FlightEvent(EventKind.RECORDER_DROPPED, reason_code, {"dropped": dropped})
