"""Writes: stored tiles, refused tiles, and the verdict on both."""

from __future__ import annotations

import ctypes
import hashlib
from array import array
from collections.abc import Callable, Iterator
from datetime import timedelta
from mmap import mmap
from typing import Any

import attrs
import numpy as np
import pytest

from ....domain.errors import (
    CaptureTimeConflictError,
    CaptureTimeInFutureError,
    ContentHashMismatchError,
    DuplicateTileError,
    FreshnessRejectionError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from ....domain.flight_events import EventKind
from ....domain.policies.freshness import FreshnessDecision
from ....domain.ports.tile_store import SupportsLocalReads, SupportsLocalWrites, TileStore
from ....domain.values.pixels import TileBytes
from ....domain.values.tiles import FreshnessLabel, TileId, TileMetadata
from ...memory.tile_files import MemoryTilePixelHandle
from .subject import IN_CONFLICT, IN_REAR, NOW, OfTileStore, TileStoreSubject, described, jpeg


def refused_cases() -> Iterator[tuple[str, bytes, TileMetadata, type[TileCacheError], str]]:
    good, other = jpeg(1), jpeg(2)
    yield "wrong hash", other, described(good), ContentHashMismatchError, "hash_gate"
    yield "wrong length", good, described(good, disk_bytes=65), ContentHashMismatchError, "hash_gate"
    for name, pixels in [("no start marker", b"x" + good), ("no end marker", good[:-1])]:
        yield name, pixels, described(pixels), TileMetadataError, "hash_gate"
    stale = timedelta(days=181)
    yield "stale", good, described(good, IN_CONFLICT, stale), FreshnessRejectionError, "freshness_gate"
    future = timedelta(minutes=-6)
    yield "future", good, described(good, IN_REAR, future), CaptureTimeInFutureError, "freshness_gate"


class Writes(OfTileStore):
    """Writes: stored tiles, refused tiles, and the verdict on both."""

    @pytest.mark.parametrize(
        "held_as",
        [
            bytearray,
            memoryview,
            lambda pixels: memoryview(bytearray(b"x".join(bytes([byte]) for byte in pixels)))[::2],
            lambda pixels: np.frombuffer(pixels, "u1"),
            lambda pixels: np.frombuffer(pixels, "u1").reshape(-1, 1),
            lambda pixels: np.repeat(np.frombuffer(pixels, "u1"), 2)[::2],
            lambda pixels: array("B", pixels),
            lambda pixels: (ctypes.c_ubyte * len(pixels)).from_buffer_copy(pixels),
            MemoryTilePixelHandle.of,
        ],
        ids=[
            *("bytearray", "memoryview", "strided view", "array", "column", "strided array"),
            *("array of the standard library", "array of C", "handle of another store"),
        ],
    )
    def test_pixels_are_taken_from_any_buffer_of_unsigned_bytes(
        self, subject: TileStoreSubject, held_as: Callable[[bytes], TileBytes]
    ) -> None:
        store, one, other = subject.open(), jpeg(1), jpeg(2)
        store.write_tile(held_as(one), described(one))
        (outcome,) = store.write_tiles([(held_as(other), described(other, IN_CONFLICT))])
        assert outcome.error is None
        assert store.read_tile_bytes(IN_REAR) == one
        assert store.read_tile_bytes(IN_CONFLICT) == other

    @pytest.mark.parametrize("wrong", ["1", True, timedelta(seconds=1), -1, float("nan")], ids=repr)
    def test_a_time_that_is_none_is_refused_by_name(self, subject: TileStoreSubject, wrong: Any) -> None:
        with pytest.raises(ValueError, match=r"^timeout_s must be 0 or more seconds, got "):
            subject.open().read_tile_pixels_within(IN_REAR, wrong)

    @pytest.mark.parametrize("wrong", [NOW.replace(tzinfo=None), NOW.date(), "2026-05-01", None], ids=repr)
    def test_a_capture_date_without_an_offset_is_refused_by_name(
        self, subject: TileStoreSubject, wrong: Any
    ) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels))
        with pytest.raises(ValueError, match=r"^captured_at must be an aware datetime in UTC, got "):
            store.amend_capture_time(IN_REAR, wrong)

    def test_a_batch_may_be_a_generator(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        outcomes = store.write_tiles((pixels, described(pixels, place)) for place in (IN_REAR, IN_CONFLICT))
        assert [outcome.tile_id for outcome in outcomes if outcome.stored] == [IN_REAR, IN_CONFLICT]

    @pytest.mark.parametrize(
        ("pixels", "found"),
        [
            ("text", "str"),
            (None, "NoneType"),
            ([255, 216], "list"),
            (np.zeros(4, "i1"), "a buffer of format 'b'"),
            (np.zeros(4, "f4"), "a buffer of format 'f'"),
        ],
        ids=["text", "None", "list", "signed bytes", "float32"],
    )
    def test_pixels_of_another_type_are_refused_by_name(
        self, subject: TileStoreSubject, pixels: Any, found: str
    ) -> None:
        store = subject.open()
        refusal = f"pixels must be bytes, bytearray, memoryview or an array of uint8, got {found}$"
        with pytest.raises(TypeError, match=f"^{refusal}"):
            store.write_tile(pixels, described(jpeg(1)))
        with pytest.raises(TypeError, match=rf"^tiles\[1\]: {refusal}"):
            store.write_tiles([(jpeg(2), described(jpeg(2))), (pixels, described(jpeg(1), IN_CONFLICT))])
        assert subject.committed() == {}
        assert subject.on_disk() == {}

    def test_pixels_in_a_closed_buffer_are_refused_by_name(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        released = memoryview(pixels)
        released.release()
        closed = mmap(-1, len(pixels))
        closed.close()
        for gone, kind in ((released, "memoryview"), (closed, "mmap")):
            refusal = f"pixels of type {kind} can't be read: "
            with pytest.raises(ValueError, match=f"^{refusal}"):
                store.write_tile(gone, described(pixels))
            with pytest.raises(ValueError, match=rf"^tiles\[0\]: {refusal}"):
                store.write_tiles([(gone, described(pixels))])
        assert subject.committed() == {}

    def test_a_digest_of_an_array_of_texts_is_taken(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        metadata = described(pixels)
        digests = np.array([metadata.content_sha256])
        stored = store.write_tile(pixels, attrs.evolve(metadata, content_sha256=digests[0]))
        assert type(stored.content_sha256) is str
        assert stored.content_sha256 == metadata.content_sha256

    def test_it_is_a_tile_store_that_also_writes_in_bulk_and_answers_boxes(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        for port in (TileStore, SupportsLocalReads, SupportsLocalWrites):
            assert isinstance(store, port)

    @pytest.mark.parametrize(
        ("tile_id", "days", "decision", "label"),
        [
            (IN_REAR, 1, FreshnessDecision.ACCEPT, FreshnessLabel.FRESH),
            (IN_REAR, 400, FreshnessDecision.DOWNGRADE, FreshnessLabel.DOWNGRADED),
            (IN_CONFLICT, 400, FreshnessDecision.REJECT, FreshnessLabel.DOWNGRADED),
        ],
    )
    def test_a_capture_date_is_put_right_on_the_record_and_the_tile_is_judged_anew(
        self,
        subject: TileStoreSubject,
        tile_id: TileId,
        days: int,
        decision: FreshnessDecision,
        label: FreshnessLabel,
    ) -> None:
        store, pixels = subject.open(), jpeg(1)
        before = store.write_tile(pixels, described(pixels, tile_id, timedelta(days=10)))
        store.read_tile_pixels(tile_id).close()
        right = NOW - timedelta(days=days)
        amended = store.amend_capture_time(tile_id, right)
        assert (amended.captured_at_before, amended.verdict.decision) == (before.captured_at, decision)
        assert amended.stored == attrs.evolve(before, captured_at=right, freshness_label=label)
        assert subject.rows.get(tile_id) == amended.stored
        for opened in (store, subject.open()):
            entry = opened.catalogue.get(tile_id)
            assert entry is not None
            assert (entry.captured_at, entry.freshness_label) == (right, label)
            verdict = opened.verdict(tile_id)
            assert verdict is not None
            assert verdict.decision is decision
            assert opened.read_tile_bytes(tile_id) == pixels
        (event,) = [e for e in subject.recorder.events if e.kind is EventKind.AMENDED]
        assert event.payload["captured_at_before"] == before.captured_at.isoformat()
        assert event.payload["captured_at"] == right.isoformat()
        assert event.payload["decision"] == decision.name.lower()

    def test_a_capture_date_that_can_not_be_right_or_has_no_tile_changes_nothing(
        self, subject: TileStoreSubject
    ) -> None:
        store, pixels = subject.open(), jpeg(1)
        before = store.write_tile(pixels, described(pixels))
        with pytest.raises(CaptureTimeInFutureError):
            store.amend_capture_time(IN_REAR, NOW + timedelta(hours=1))
        with pytest.raises(TileNotFoundError):
            store.amend_capture_time(IN_CONFLICT, NOW)
        assert subject.rows.get(IN_REAR) == before
        assert EventKind.AMENDED not in subject.kinds()

    @pytest.mark.parametrize("in_batch", [False, True])
    @pytest.mark.parametrize("is_known", [False, True])
    def test_the_same_bytes_under_another_date_are_refused_by_name(
        self, subject: TileStoreSubject, in_batch: bool, is_known: bool
    ) -> None:
        store, other, pixels = subject.open(), subject.open(), jpeg(1)
        first = (store if is_known else other).write_tile(pixels, described(pixels))
        another = described(pixels, age=timedelta(days=30))
        if in_batch:
            (outcome,) = store.write_tiles([(pixels, another)])
            error = outcome.error
        else:
            with pytest.raises(DuplicateTileError) as refused:
                store.write_tile(pixels, another)
            error = refused.value
        assert isinstance(error, CaptureTimeConflictError)
        assert (error.stored_captured_at, error.captured_at) == (first.captured_at, another.captured_at)
        assert "aerotile amend --captured-at" in str(error.remedy)
        assert subject.rows.get(IN_REAR) == first
        (same,) = store.write_tiles([(pixels, described(pixels))])
        assert type(same.error) is DuplicateTileError
        (new_bytes,) = store.write_tiles([(jpeg(2), described(jpeg(2), age=timedelta(days=30)))])
        assert type(new_bytes.error) is DuplicateTileError

    def test_a_box_holds_what_is_stored_there_now(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        stored = store.write_tile(pixels, described(pixels))
        store.write_tile(pixels, described(pixels, IN_CONFLICT))
        (match,) = store.query_by_bbox(IN_REAR.bbox, 10)
        assert (match.tile_id, match.content_sha256) == (IN_REAR, stored.content_sha256)
        assert match.captured_at == stored.captured_at
        assert len(store.query_by_bbox(IN_REAR.bbox, 11)) == 0
        reopened = subject.open()
        assert reopened.query_by_bbox(IN_REAR.bbox, 10).tile_ids() == [IN_REAR]
        store.delete_tile(IN_REAR)
        assert len(store.query_by_bbox(IN_REAR.bbox, 10)) == 0

    def test_what_was_written_is_read_back_byte_for_byte(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        stored = store.write_tile(pixels, described(pixels))
        assert stored.tile_id == IN_REAR
        assert stored.created_at == NOW
        assert stored.tile_uuid == IN_REAR.tile_uuid
        with store.read_tile_pixels(IN_REAR) as handle:
            assert bytes(memoryview(handle)) == pixels
            assert handle.nbytes == len(pixels)
        assert store.tile_exists(IN_REAR)
        assert subject.committed() == {IN_REAR: hashlib.sha256(pixels).hexdigest()}
        assert subject.kinds() == [EventKind.WRITE]

    def test_a_tile_that_was_never_written_is_not_found(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        assert not store.tile_exists(IN_REAR)
        with pytest.raises(TileNotFoundError):
            store.read_tile_pixels(IN_REAR)
        with pytest.raises(TileNotFoundError):
            store.delete_tile(IN_REAR)

    def test_duplicate_key_leaves_first_file_byte_identical(self, subject: TileStoreSubject) -> None:
        store, first, second = subject.open(), jpeg(1), jpeg(2)
        store.write_tile(first, described(first))
        sidecar = subject.files.sidecar_sha256(IN_REAR)
        with pytest.raises(DuplicateTileError):
            store.write_tile(second, described(second))
        with store.read_tile_pixels(IN_REAR) as handle:
            assert bytes(memoryview(handle)) == first
        assert subject.files.sidecar_sha256(IN_REAR) == sidecar == hashlib.sha256(first).hexdigest()

    @pytest.mark.parametrize(
        ("pixels", "metadata", "error", "step"),
        [pytest.param(*case[1:], id=case[0]) for case in refused_cases()],
    )
    def test_a_refused_tile_leaves_the_world_as_it_was_and_a_record_of_the_step(
        self,
        subject: TileStoreSubject,
        pixels: bytes,
        metadata: TileMetadata,
        error: type[TileCacheError],
        step: str,
    ) -> None:
        store = subject.open()
        with pytest.raises(error):
            store.write_tile(pixels, metadata)
        assert subject.committed() == {}
        assert subject.on_disk() == {}
        assert not store.tile_exists(metadata.tile_id)
        failed = subject.recorder.events[-1]
        assert failed.kind is EventKind.WRITE_FAILED
        assert failed.payload["step"] == step

    def test_an_old_tile_outside_the_conflict_is_stored_with_its_label(
        self, subject: TileStoreSubject
    ) -> None:
        store, pixels = subject.open(), jpeg()
        stored = store.write_tile(pixels, described(pixels, age=timedelta(days=366)))
        assert stored.freshness_label is FreshnessLabel.DOWNGRADED
        assert subject.kinds() == [EventKind.FRESHNESS_DOWNGRADED, EventKind.WRITE]

    def test_the_verdict_on_a_stored_tile_is_as_of_now(self, subject: TileStoreSubject) -> None:
        store, pixels = subject.open(), jpeg(1)
        store.write_tile(pixels, described(pixels, IN_CONFLICT))
        before = store.verdict(IN_CONFLICT)
        subject.clock.advance(timedelta(days=181))
        after = store.verdict(IN_CONFLICT)
        assert before is not None
        assert after is not None
        assert (before.decision, after.decision) == (FreshnessDecision.ACCEPT, FreshnessDecision.REJECT)
        assert store.verdict(IN_REAR) is None
