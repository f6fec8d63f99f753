"""The catalogue of the flight record: every kind of event with its severity, reasons and payload.

Investigators replay this stream: kinds are added, each with the schema version that brought it, and never
renamed or removed. Readers pass unknown kinds through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any

import attrs

from .errors import FreshnessRejectionError
from .policies.clock_trust import ClockFault
from .policies.freshness import FreshnessDecision
from .values.lookups import PositionFix
from .values.recall_list import RecallList
from .values.sectors import FreshnessRule
from .values.tiles import TileId, TileMetadataPersistent, check_aware_utc
from .values.validators import is_a

SCHEMA_VERSION = "1.10.0"


class Severity(str, Enum):
    """How much an event matters to the flight."""

    INFO = "info"
    """A normal decision."""
    WARNING = "warning"
    """Something was refused or lost; the flight goes on."""
    ERROR = "error"
    """A tile was lost or given up."""


class EventKind(str, Enum):
    """The kinds of event; c6 is the tile cache, c11 the uploader, c0 the recorder itself."""

    RECORDER_DROPPED = "c0.recorder.dropped"
    """The queue was full and events were dropped."""
    WRITE = "c6.write"
    """A tile was committed."""
    WRITE_FAILED = "c6.write_failed"
    """A write was refused or failed; the reason is its step."""
    FRESHNESS_REJECTED = "c6.freshness.rejected"
    """A tile was too old and was refused."""
    FRESHNESS_DOWNGRADED = "c6.freshness.downgraded"
    """A tile was too old and was stored with a label."""
    EVICTION_BATCH = "c6.eviction_batch"
    """Tiles were deleted to make room."""
    UPLOAD_GIVEUP = "c11.upload.giveup"
    """A tile's upload was rejected too often."""
    UPLOAD_REQUEUED = "c11.upload.requeued"
    """An operator put a given-up tile back into the queue."""
    QUARANTINED = "c6.quarantined"
    """A repair removed a tile whose file is damaged or missing."""
    CLOCK_UNTRUSTED = "c6.clock_untrusted"
    """The clock can't be right; times are not to be relied on until it is trusted again."""
    CLOCK_TRUSTED = "c6.clock_trusted"
    """The clock is plausible again."""
    AMENDED = "c6.amended"
    """A tile's capture date was put right."""
    LOOKUP_UNKNOWN = "c6.lookup.unknown"
    """The store holds none of the candidates that the index named."""
    BASE_OPENED = "c6.base.opened"
    """A sealed base was opened; the reason says whether enough pinned keys signed it."""
    BASE_TILE_DAMAGED = "c6.base.tile_damaged"
    """A tile of the sealed base was refused, because its bytes are not those that were sealed."""
    LOOKUP = "c6.lookup"
    """An index was searched; the reason says whether its graph or an area of it."""
    LOOKUP_THINNED = "c6.lookup.thinned"
    """Lookups were left out, because they would take more than `record.lookup_bytes_per_hour`."""
    FIX = "c6.fix"
    """The flight stack derived its position from a tile."""
    REPLACED = "c6.replaced"
    """Newer imagery took the place of a tile's older imagery."""
    RECALL_IN_FORCE = "c6.recall.in_force"
    """A recall list is in force from here on."""
    RECALL_REFUSED = "c6.recall.refused"
    """A recall list in the place of the one in force can't be trusted; the one before stays in force."""
    RECALLED = "c6.recalled"
    """Stored tiles were held back because the recall list names them; the reason is the call."""


@attrs.frozen
class KindSpecification:
    """What the catalogue fixes for one kind."""

    since: str
    """The schema version that added it."""
    severity: Severity
    payload_fields: tuple[str, ...]


EVENT_KINDS: Mapping[EventKind, KindSpecification] = {
    EventKind.RECORDER_DROPPED: KindSpecification("1.0.0", Severity.WARNING, ("dropped",)),
    EventKind.WRITE: KindSpecification(
        "1.1.0", Severity.INFO, ("tile", "tile_uuid", "content_sha256", "disk_bytes", "freshness_label")
    ),
    EventKind.WRITE_FAILED: KindSpecification(
        "1.1.0", Severity.WARNING, ("tile", "step", "error", "message")
    ),
    EventKind.FRESHNESS_REJECTED: KindSpecification(
        "1.2.0", Severity.WARNING, ("tile", "age_seconds", "classification", "max_age_seconds")
    ),
    EventKind.FRESHNESS_DOWNGRADED: KindSpecification(
        "1.2.0", Severity.INFO, ("tile", "age_seconds", "classification", "max_age_seconds")
    ),
    EventKind.EVICTION_BATCH: KindSpecification("1.3.0", Severity.INFO, ("tiles", "count", "freed_bytes")),
    EventKind.UPLOAD_GIVEUP: KindSpecification(
        "1.4.0", Severity.ERROR, ("tile", "tile_uuid", "attempts", "reason")
    ),
    EventKind.UPLOAD_REQUEUED: KindSpecification("1.5.0", Severity.INFO, ("tile", "tile_uuid", "generation")),
    EventKind.QUARANTINED: KindSpecification(
        "1.6.0", Severity.ERROR, ("tile", "tile_uuid", "content_sha256", "found_sha256", "kept_at")
    ),
    EventKind.CLOCK_UNTRUSTED: KindSpecification("1.7.0", Severity.WARNING, ("clock_says", "known")),
    EventKind.CLOCK_TRUSTED: KindSpecification("1.7.0", Severity.INFO, ("clock_says", "known")),
    EventKind.AMENDED: KindSpecification(
        "1.8.0",
        Severity.WARNING,
        ("tile", "tile_uuid", "captured_at_before", "captured_at", "decision", "freshness_label"),
    ),
    EventKind.LOOKUP_UNKNOWN: KindSpecification("1.8.0", Severity.WARNING, ("tiles", "count")),
    EventKind.BASE_OPENED: KindSpecification(
        "1.8.0", Severity.INFO, ("generation", "manifest_sha256", "signed_by")
    ),
    EventKind.BASE_TILE_DAMAGED: KindSpecification(
        "1.8.0", Severity.ERROR, ("tile", "content_sha256", "found_sha256")
    ),
    EventKind.LOOKUP: KindSpecification(
        "1.9.0",
        Severity.INFO,
        (
            "lookup",
            "sequence",
            "query_sha256",
            "query",
            "k",
            "near",
            "index_generation",
            "index_sha256",
            "hits",
            "hit_count",
            "store_open",
            "unknown",
        ),
    ),
    EventKind.LOOKUP_THINNED: KindSpecification("1.9.0", Severity.WARNING, ("count",)),
    EventKind.FIX: KindSpecification(
        "1.9.0", Severity.INFO, ("tile", "lat", "lon", "fixed_at", "error_m", "lookup")
    ),
    EventKind.REPLACED: KindSpecification(
        "1.9.0",
        Severity.INFO,
        (
            "tile",
            "tile_uuid",
            "content_sha256_before",
            "captured_at_before",
            "content_sha256",
            "captured_at",
            "disk_bytes",
            "freshness_label",
        ),
    ),
    EventKind.RECALL_IN_FORCE: KindSpecification(
        "1.10.0", Severity.WARNING, ("number", "why", "list_sha256", "signed_by", "entries")
    ),
    EventKind.RECALL_REFUSED: KindSpecification("1.10.0", Severity.ERROR, ("number", "error")),
    EventKind.RECALLED: KindSpecification("1.10.0", Severity.WARNING, ("number", "tiles", "count")),
}

LISTED_TILES = 5
"""How many tiles an event of many names; its count is always whole."""


@attrs.frozen
class FlightEvent:
    """What happened, for the recorder, which adds the two times."""

    kind: EventKind = attrs.field(validator=is_a(EventKind))
    """Fixes severity and payload fields."""
    reason: str = attrs.field(validator=is_a(str))
    """A short stable code, e.g. `freshness_gate`; free text belongs in the payload."""
    payload: Mapping[str, Any] = attrs.field(validator=is_a(Mapping))
    """JSON-ready values under the names that `EVENT_KINDS` lists for the kind."""

    @property
    def severity(self) -> Severity:
        """Fixed per kind by the catalogue."""
        return EVENT_KINDS[self.kind].severity


@attrs.frozen(kw_only=True)
class RecordEnvelope:
    """One line of the flight record as a reader sees it. `kind` is a text: it may be newer than this code."""

    schema_version: str
    """Of the writer."""
    kind: str
    """See `EventKind`; may be newer than this code."""
    severity: str
    """See `Severity`."""
    reason: str
    """Short stable code."""
    wall_time: datetime = attrs.field()
    """What the clock said; it may be wrong."""
    monotonic_ns: int
    """Nanoseconds that never go back within one process."""
    payload: Mapping[str, Any]
    """JSON values."""

    @wall_time.validator
    def _aware(self, _: attrs.Attribute[datetime], value: datetime) -> None:
        check_aware_utc(value, "wall_time")

    @classmethod
    def of(cls, event: FlightEvent, *, wall_time: datetime, monotonic_ns: int) -> RecordEnvelope:
        """Put an event into its envelope."""
        return cls(
            schema_version=SCHEMA_VERSION,
            kind=event.kind.value,
            severity=event.severity.value,
            reason=event.reason,
            wall_time=wall_time,
            monotonic_ns=monotonic_ns,
            payload=event.payload,
        )

    def to_json(self) -> dict[str, Any]:
        """The envelope as JSON-ready values; `from_json` reads it back."""
        return {
            "schema_version": self.schema_version,
            "kind": self.kind,
            "severity": self.severity,
            "reason": self.reason,
            "wall_time": self.wall_time.isoformat(timespec="microseconds"),
            "monotonic_ns": self.monotonic_ns,
            "payload": dict(self.payload),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> RecordEnvelope:
        """Read an envelope. Raises `ValueError`, `KeyError` or `TypeError` when it is none."""
        return cls(
            schema_version=str(facts["schema_version"]),
            kind=str(facts["kind"]),
            severity=str(facts["severity"]),
            reason=str(facts["reason"]),
            wall_time=datetime.fromisoformat(facts["wall_time"]).astimezone(timezone.utc),
            monotonic_ns=int(facts["monotonic_ns"]),
            payload=dict(facts["payload"]),
        )


class WriteStep(str, Enum):
    """The steps of a write, in order; a failed write names the one that failed."""

    HASH_GATE = "hash_gate"
    RECALL = "recall"
    FRESHNESS_GATE = "freshness_gate"
    DISK_BUDGET = "disk_budget"
    INSERT = "insert"
    """For a replacement, the check and the lock of the row that is there."""
    FILES = "files"
    COMMIT = "commit"


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


def recorder_dropped_event(dropped: int) -> FlightEvent:
    """The recorder's queue was full and it lost events rather than block its caller."""
    return FlightEvent(EventKind.RECORDER_DROPPED, "queue_full", {"dropped": dropped})
