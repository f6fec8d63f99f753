"""The flight record's catalogue and envelope: what investigators replay years later."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.errors import FreshnessRejectionError
from aerotile.domain.flight_events import (
    EVENT_KINDS,
    SCHEMA_VERSION,
    EventKind,
    FlightEvent,
    RecordEnvelope,
    WriteStep,
)
from aerotile.domain.make_events import (
    base_opened_event,
    base_tile_damaged_event,
    clock_trusted_event,
    clock_untrusted_event,
    eviction_batch_event,
    fix_event,
    freshness_downgraded_event,
    freshness_rejected_event,
    lookups_thinned_event,
    recorder_dropped_event,
    upload_giveup_event,
    upload_requeued_event,
    write_event,
    write_failed_event,
)
from aerotile.domain.policies.clock_trust import ClockFault, ClockFaultReason
from aerotile.domain.values.lookups import PositionFix
from aerotile.domain.values.sectors import SEEDED_RULES
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

NOON = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
TILE = TileId(3, 4, 2, TileSource.ONBOARD, UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2"))
METADATA = TileMetadata(
    tile_id=TILE, captured_at=NOON, content_sha256="a" * 64, disk_bytes=1234, ground_sample_distance=1.5
)
STORED = TileMetadataPersistent.of(METADATA, created_at=NOON)
CONFLICT_RULE = SEEDED_RULES[0]
DOUBT = ClockFault(ClockFaultReason.BEHIND, NOON, NOON + timedelta(hours=1))
AGE_SECONDS = timedelta(days=181).total_seconds()

EVENTS: tuple[Callable[[], FlightEvent], ...] = (
    lambda: write_event(STORED),
    lambda: write_failed_event(TILE, WriteStep.FILES, OSError("no space")),
    lambda: freshness_rejected_event(
        FreshnessRejectionError(TILE, AGE_SECONDS, CONFLICT_RULE.classification, CONFLICT_RULE)
    ),
    lambda: freshness_downgraded_event(TILE, AGE_SECONDS, SEEDED_RULES[1]),
    lambda: eviction_batch_event([TILE], 1234),
    lambda: recorder_dropped_event("queue_full", 17),
    lambda: upload_giveup_event(TILE, 5, "not_jpeg: no end marker"),
    lambda: upload_requeued_event(TILE, 2),
    lambda: clock_untrusted_event(DOUBT),
    lambda: clock_trusted_event(DOUBT),
    lambda: base_opened_event("000007", "a" * 64, ["b" * 64], is_trusted=True),
    lambda: base_tile_damaged_event(TILE, "a" * 64, "b" * 64),
    lambda: lookups_thinned_event(3),
    lambda: fix_event(PositionFix(tile_id=TILE, lat=1.5, lon=2.5, fixed_at=NOON, error_m=3.5, lookup="a-1")),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
envelopes = st.builds(
    RecordEnvelope,
    schema_version=st.text(),
    kind=st.text(),
    severity=st.text(),
    reason=st.text(),
    wall_time=st.datetimes(timezones=st.just(timezone.utc)),
    monotonic_ns=st.integers(0, 1 << 63),
    payload=st.dictionaries(st.text(), json_values),
)


@given(envelopes)
def test_an_envelope_survives_json_whatever_its_kind_and_payload(envelope: RecordEnvelope) -> None:
    assert RecordEnvelope.from_json(json.loads(json.dumps(envelope.to_json()))) == envelope


def test_a_kind_newer_than_this_code_passes_through_untouched() -> None:
    newer = {
        "schema_version": "9.1.0",
        "kind": "c12.route.changed",
        "severity": "critical",
        "reason": "operator",
        "wall_time": "2031-01-02T03:04:05.678901+00:00",
        "monotonic_ns": 123456789,
        "payload": {"legs": [1, 2, {"via": None}]},
    }
    assert RecordEnvelope.from_json(newer).to_json() == newer


@pytest.mark.parametrize("missing", ["schema_version", "kind", "wall_time", "monotonic_ns", "payload"])
def test_a_line_that_is_no_envelope_is_refused(missing: str) -> None:
    facts = RecordEnvelope.of(write_event(STORED), wall_time=NOON, monotonic_ns=1).to_json()
    del facts[missing]
    with pytest.raises(KeyError, match=missing):
        RecordEnvelope.from_json(facts)


@pytest.mark.parametrize("text", ["2026-05-01T12:00:00", "2026-05-01"])
def test_a_line_whose_time_has_no_offset_is_refused(text: str) -> None:
    facts = RecordEnvelope.of(write_event(STORED), wall_time=NOON, monotonic_ns=1).to_json()
    with pytest.raises(ValueError, match=f"wall_time must have an offset, got '{text}'"):
        RecordEnvelope.from_json(facts | {"wall_time": text})


def test_a_naive_wall_time_is_refused_by_value() -> None:
    with pytest.raises(ValueError, match="wall_time"):
        RecordEnvelope.of(write_event(STORED), wall_time=datetime(2026, 5, 1), monotonic_ns=1)  # noqa: DTZ001 - naive on purpose


def test_an_envelope_takes_kind_and_severity_from_the_catalogue_and_the_clocks_from_its_caller() -> None:
    envelope = RecordEnvelope.of(recorder_dropped_event("queue_full", 17), wall_time=NOON, monotonic_ns=42)
    assert envelope == RecordEnvelope(
        schema_version=SCHEMA_VERSION,
        kind="c0.recorder.dropped",
        severity="warning",
        reason="queue_full",
        wall_time=NOON,
        monotonic_ns=42,
        payload={"dropped": 17},
    )


@pytest.mark.parametrize(
    ("kind", "since"),
    [
        ("c6.write", "1.1.0"),
        ("c6.write_failed", "1.1.0"),
        ("c6.freshness.rejected", "1.2.0"),
        ("c6.freshness.downgraded", "1.2.0"),
        ("c6.eviction_batch", "1.3.0"),
        ("c11.upload.giveup", "1.4.0"),
        ("c11.upload.requeued", "1.5.0"),
    ],
)
def test_a_kind_is_there_since_the_version_that_the_specification_names(kind: str, since: str) -> None:
    assert EVENT_KINDS[EventKind(kind)].since == since


def test_the_catalogue_specifies_every_kind() -> None:
    assert set(EVENT_KINDS) == set(EventKind)


def test_the_schema_version_is_the_newest_in_the_catalogue() -> None:
    def version(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split("."))

    assert version(SCHEMA_VERSION) == max(
        version(specification.since) for specification in EVENT_KINDS.values()
    )


@pytest.mark.parametrize("build", EVENTS)
def test_an_event_carries_exactly_the_fields_of_its_catalogue_entry(build: Callable[[], FlightEvent]) -> None:
    event = build()
    assert set(event.payload) == set(EVENT_KINDS[event.kind].payload_fields)
    assert event.severity is EVENT_KINDS[event.kind].severity
    json.dumps(event.payload, allow_nan=False)


def test_a_failed_write_names_its_step_and_its_error() -> None:
    event = write_failed_event(TILE, WriteStep.FILES, OSError("no space"))
    assert event.reason == event.payload["step"] == "files"
    assert (event.payload["error"], event.payload["message"]) == ("OSError", "no space")


@given(st.integers(0, 12))
def test_an_eviction_batch_names_at_most_five_tiles_and_counts_all(count: int) -> None:
    tiles = [TileId(4, x, 0, TileSource.IMPORTED) for x in range(count)]
    payload: dict[str, Any] = dict(eviction_batch_event(tiles, 9).payload)
    assert payload == {"tiles": [str(t) for t in tiles[:5]], "count": count, "freed_bytes": 9}
