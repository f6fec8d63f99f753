"""The catalogue of the flight record: every kind of event with its severity, reasons and payload.

Investigators replay this stream: kinds are added, each with the schema version that brought it, and never
renamed or removed. Readers pass unknown kinds through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from typing import Any

import attrs

from .values.validators import aware_utc, is_a

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
    """Events were lost; the reason says whether the queue was full, or they were none."""
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
    wall_time: datetime = attrs.field(validator=aware_utc)
    """What the clock said; it may be wrong."""
    monotonic_ns: int
    """Nanoseconds that never go back within one process."""
    payload: Mapping[str, Any]
    """JSON values."""

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
            wall_time=_wall_time(facts["wall_time"]),
            monotonic_ns=int(facts["monotonic_ns"]),
            payload=dict(facts["payload"]),
        )


def _wall_time(text: str) -> datetime:
    """A time in UTC. Without an offset it would be read as a time of this machine's zone."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"wall_time must have an offset, got {text!r}")
    return time.astimezone(timezone.utc)


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
