"""Replacements: newer imagery takes the place of older, everything else is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from ....domain.errors import (
    CaptureTimeConflictError,
    CaptureTimeInFutureError,
    ContentHashMismatchError,
    DuplicateTileError,
    FreshnessRejectionError,
    NotNewerError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from ....domain.flight_events import EventKind
from ....domain.values.inventory import FoundKind
from ....domain.values.tiles import FreshnessLabel, TileMetadata
from .subject import IN_CONFLICT, IN_REAR, ONBOARD, OfTileStore, TileStoreSubject, described, jpeg

DAY = timedelta(days=1)
OLD, NEW = jpeg(1), jpeg(2)


def refused_cases() -> Iterator[tuple[str, bytes, TileMetadata, type[TileCacheError], str, str]]:
    yield (
        "older",
        NEW,
        described(NEW, age=3 * DAY),
        NotNewerError,
        "2026-04-29.*2026-04-28",
        "insert",
    )
    yield "of the same time", NEW, described(NEW, age=2 * DAY), NotNewerError, "not newer", "insert"
    yield "the same", OLD, described(OLD, age=2 * DAY), DuplicateTileError, "already in the store", "insert"
    yield "another date", OLD, described(OLD), CaptureTimeConflictError, "same bytes", "insert"
    yield "wrong hash", OLD, described(NEW), ContentHashMismatchError, "SHA-256", "hash_gate"
    yield "no JPEG", b"x" + NEW, described(b"x" + NEW), TileMetadataError, "JPEG", "hash_gate"
    future = described(NEW, age=-DAY)
    yield "of the future", NEW, future, CaptureTimeInFutureError, "is in the future", "freshness_gate"


class Replacements(OfTileStore):
    """Held by a store whose tiles are replaced."""

    def test_newer_imagery_replaces_the_older_and_handles_on_the_old_stay_valid(
        self, subject: TileStoreSubject
    ) -> None:
        store, new = subject.open(), jpeg(2, size=6_000)
        old = store.write_tile(OLD, described(OLD, age=2 * DAY))
        handle = store.read_tile_pixels(IN_REAR)
        replaced = store.replace_tile(memoryview(new), described(new, age=DAY))
        assert (replaced.before, replaced.stored) == (old, subject.rows.get(IN_REAR))
        assert replaced.stored.captured_at == described(new, age=DAY).captured_at
        assert replaced.stored.content_sha256 == hashlib.sha256(new).hexdigest()
        assert bytes(memoryview(handle)) == OLD
        for reader in (store, subject.open(verify_hash=True)):
            assert reader.read_tile_bytes(IN_REAR) == new
            with reader.read_tile_pixels(IN_REAR) as pixels:
                assert bytes(memoryview(pixels)) == new
            entry = reader.catalogue.get(IN_REAR)
            assert entry is not None
            assert entry.content_sha256 == replaced.stored.content_sha256
            assert reader.catalogue.total_disk_bytes() == subject.rows.disk_usage().disk_bytes == len(new)
        assert subject.on_disk() == {IN_REAR: {FoundKind.TILE, FoundKind.SIDECAR}}
        assert subject.files.sidecar_sha256(IN_REAR) == replaced.stored.content_sha256
        assert subject.rows.unsettled() == set()

    def test_a_replacement_is_on_the_record_once_with_both_digests_and_dates(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        old = store.write_tile(OLD, described(OLD, age=400 * DAY))
        new = store.replace_tile(NEW, described(NEW, age=DAY)).stored
        assert (old.freshness_label, new.freshness_label) == (FreshnessLabel.DOWNGRADED, FreshnessLabel.FRESH)
        assert subject.kinds() == [EventKind.FRESHNESS_DOWNGRADED, EventKind.WRITE, EventKind.REPLACED]
        assert subject.recorder.events[-1].payload == {
            "tile": str(IN_REAR),
            "tile_uuid": str(IN_REAR.tile_uuid),
            "content_sha256_before": old.content_sha256,
            "captured_at_before": old.captured_at.isoformat(),
            "content_sha256": new.content_sha256,
            "captured_at": new.captured_at.isoformat(),
            "disk_bytes": len(NEW),
            "freshness_label": "fresh",
        }

    @pytest.mark.parametrize(
        ("pixels", "metadata", "error", "message", "step"),
        [pytest.param(*case[1:], id=case[0]) for case in refused_cases()],
    )
    def test_a_refused_replacement_leaves_the_old_tile_as_it_was(
        self,
        subject: TileStoreSubject,
        pixels: bytes,
        metadata: TileMetadata,
        error: type[TileCacheError],
        message: str,
        step: str,
    ) -> None:
        store = subject.open()
        store.write_tile(OLD, described(OLD, age=2 * DAY))
        row = subject.rows.get(IN_REAR)
        with pytest.raises(error, match=message):
            store.replace_tile(pixels, metadata)
        assert subject.recorder.events[-1].payload["step"] == step
        assert store.read_tile_bytes(IN_REAR) == OLD
        assert subject.rows.get(IN_REAR) == row
        assert subject.on_disk() == {IN_REAR: {FoundKind.TILE, FoundKind.SIDECAR}}

    def test_imagery_that_the_freshness_gate_refuses_leaves_the_old_tile(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        store.write_tile(OLD, described(OLD, IN_CONFLICT, age=179 * DAY))
        subject.clock.sleep((30 * DAY).total_seconds())
        with pytest.raises(FreshnessRejectionError):
            store.replace_tile(NEW, described(NEW, IN_CONFLICT, age=178 * DAY))
        assert store.read_tile_bytes(IN_CONFLICT) == OLD
        assert subject.kinds()[-2:] == [EventKind.FRESHNESS_REJECTED, EventKind.WRITE_FAILED]

    def test_an_onboard_tile_is_never_replaced_and_a_tile_that_is_not_there_neither(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        store.write_tile(OLD, described(OLD, ONBOARD, age=DAY))
        with pytest.raises(TileMetadataError, match="was made on board, and such a tile is never replaced"):
            store.replace_tile(NEW, described(NEW, ONBOARD))
        with pytest.raises(TileNotFoundError, match=str(IN_REAR)):
            store.replace_tile(NEW, described(NEW))
        assert store.read_tile_bytes(ONBOARD) == OLD
        assert subject.on_disk() == {ONBOARD: {FoundKind.TILE, FoundKind.SIDECAR}}

    def test_the_facts_are_those_of_a_tile_that_was_just_written(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        store.write_tile(OLD, described(OLD, age=DAY))
        subject.clock.sleep(60.0)
        stored = store.replace_tile(NEW, described(NEW, ground_sample_distance=0.25)).stored
        assert (stored.created_at, stored.accessed_at) == (subject.clock.now(), subject.clock.now())
        assert (stored.ground_sample_distance, stored.uploaded_at, stored.upload_attempts) == (0.25, None, 0)
        assert stored == subject.rows.get(IN_REAR)

    def test_newer_imagery_brings_back_a_tile_whose_file_is_gone(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        store.write_tile(OLD, described(OLD, age=DAY))
        subject.files.remove(IN_REAR)
        store = subject.open()
        assert store.opened.files_missing == 1
        store.replace_tile(NEW, described(NEW))
        assert store.read_tile_bytes(IN_REAR) == NEW
        assert list(subject.rows.marked_missing()) == []
