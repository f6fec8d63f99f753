"""Replacements: the old tile or the new one, whole, at every instant."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import attrs
import pytest

from ....domain.errors import (
    CaptureTimeConflictError,
    CaptureTimeInFutureError,
    CommitOutcomeUnknownError,
    ContentHashMismatchError,
    DuplicateTileError,
    FreshnessRejectionError,
    NotNewerError,
    StoreUnavailableError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from ....domain.flight_events import EventKind
from ....domain.ports.tile_files import TileFiles
from ....domain.values.inventory import FoundKind
from ....domain.values.tiles import FreshnessLabel, TileId, TileMetadata
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


class _StoppedFiles:
    """The files under test, with something else done in a step of a replacement."""

    def __init__(self, inner: TileFiles) -> None:
        self._inner = inner
        self.before_take_place: Callable[[], None] = lambda: None
        self.after_take_place: Callable[[], None] = lambda: None
        self.after_read: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def take_place(self, tile_id: TileId, content_sha256: str) -> bool:
        self.before_take_place()
        taken = self._inner.take_place(tile_id, content_sha256)
        self.after_take_place()
        return taken

    def read(self, tile_id: TileId, timeout_s: float | None = None) -> bytes:
        pixels = self._inner.read(tile_id, timeout_s)
        self.after_read()
        return pixels


class _Killed(BaseException):
    """The end of a process in the middle of a step."""


class Replacements(OfTileStore):
    """Replacements: the old tile or the new one, whole, at every instant."""

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

    @pytest.mark.parametrize("verify_hash", [False, True])
    def test_every_reader_finds_the_old_or_the_new_tile_in_every_step(
        self, subject: TileStoreSubject, verify_hash: bool
    ) -> None:
        files = _StoppedFiles(subject.files)
        writer, beside = subject.open(files, verify_hash), subject.open(verify_hash=verify_hash)
        writer.write_tile(OLD, described(OLD, age=DAY))
        beside.reload()
        seen: list[bytes] = []

        def read() -> None:
            for store in (writer, beside):
                store._sync.mapping_cache.invalidate(IN_REAR)
                seen.append(store.read_tile_bytes(IN_REAR))
                with store.read_tile_pixels(IN_REAR) as handle:
                    seen.append(bytes(memoryview(handle)))

        files.before_take_place, files.after_take_place = read, read
        writer.replace_tile(NEW, described(NEW))
        assert seen[:4] == [OLD] * 4
        assert set(seen[4:]) <= {OLD, NEW}
        beside.reload()
        for store in (writer, beside):
            assert store.read_tile_bytes(IN_REAR) == NEW

    def test_a_read_that_a_replacement_overtakes_is_repeated(self, subject: TileStoreSubject) -> None:
        files = _StoppedFiles(subject.files)
        store, beside = subject.open(files, verify_hash=True), subject.open()
        store.write_tile(OLD, described(OLD, age=DAY))
        beside.reload()

        def replace() -> None:
            files.after_read = lambda: None
            stored = beside.replace_tile(NEW, described(NEW)).stored
            store.catalogue.add(stored)  # and mappings are not void yet, as for a moment in each change

        files.after_read = replace
        assert store.read_tile_bytes(IN_REAR) == NEW

    def test_a_writer_reads_its_own_replacement_without_the_database(self, subject: TileStoreSubject) -> None:
        files, rows = _StoppedFiles(subject.files), _SilentRows(subject)
        store = attrs.evolve(subject, rows=rows).open(files, verify_hash=True)
        store.write_tile(OLD, described(OLD, age=DAY))
        seen: list[bytes] = []

        def read() -> None:
            rows.answers = False
            seen.append(store.read_tile_bytes(IN_REAR))
            rows.answers = True

        files.after_take_place = read
        store.replace_tile(NEW, described(NEW))
        assert seen == [NEW]

    def test_readers_see_nothing_else_and_nothing_older_than_what_was_confirmed(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open(verify_hash=True)
        versions = [jpeg(number) for number in range(12)]
        store.write_tile(versions[0], described(versions[0], age=20 * DAY))
        done = threading.Event()
        confirmed = 0

        def read() -> None:
            while not done.is_set():
                known = confirmed
                with store.read_tile_pixels(IN_REAR) as handle:
                    assert known <= versions.index(bytes(memoryview(handle)))
                known = confirmed
                assert known <= versions.index(store.read_tile_bytes(IN_REAR))

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                for number, pixels in enumerate(versions[1:], start=1):
                    store.replace_tile(pixels, described(pixels, age=(20 - number) * DAY))
                    confirmed = number
            finally:
                done.set()
            for reader in readers:
                reader.result()

    def test_of_two_replacers_at_once_the_newest_imagery_stays(self, subject: TileStoreSubject) -> None:
        store = subject.open()
        store.write_tile(OLD, described(OLD, age=9 * DAY))
        start = threading.Barrier(4)

        def replace(number: int) -> str:
            pixels = jpeg(10 + number)
            start.wait()
            try:
                store.replace_tile(pixels, described(pixels, age=(8 - number) * DAY))
            except NotNewerError:
                return "not newer"
            return "replaced"

        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(replace, range(4)))
        assert outcomes[3] == "replaced"
        assert store.read_tile_bytes(IN_REAR) == jpeg(13)
        assert subject.committed() == {IN_REAR: hashlib.sha256(jpeg(13)).hexdigest()}
        assert subject.on_disk() == {IN_REAR: {FoundKind.TILE, FoundKind.SIDECAR}}
        assert subject.kinds().count(EventKind.REPLACED) == outcomes.count("replaced")

    @pytest.mark.parametrize("after", [False, True], ids=["before it takes its place", "after it"])
    def test_a_writer_that_dies_behind_its_commit_leaves_the_new_tile_to_the_next_open(
        self, subject: TileStoreSubject, after: bool
    ) -> None:
        files = _StoppedFiles(subject.files)
        store, beside = subject.open(files), subject.open()
        store.write_tile(OLD, described(OLD, age=DAY))
        beside.reload()

        def die() -> None:
            raise _Killed

        setattr(files, "after_take_place" if after else "before_take_place", die)
        with pytest.raises(_Killed):
            store.replace_tile(NEW, described(NEW))
        assert subject.committed() == {IN_REAR: hashlib.sha256(NEW).hexdigest()}
        assert beside.read_tile_bytes(IN_REAR) == (NEW if after else OLD)
        opened = subject.open()
        assert opened.opened.replacements_settled == 1
        assert opened.read_tile_bytes(IN_REAR) == NEW
        assert subject.on_disk() == {IN_REAR: {FoundKind.TILE, FoundKind.SIDECAR}}
        assert subject.rows.unsettled() == set()

    def test_a_process_that_learns_of_a_dead_writers_replacement_completes_it(
        self, subject: TileStoreSubject
    ) -> None:
        files = _StoppedFiles(subject.files)
        store, beside = subject.open(files), subject.open()
        store.write_tile(OLD, described(OLD, age=DAY))
        beside.reload()
        beside.read_tile_pixels(IN_REAR).close()

        def die() -> None:
            raise _Killed

        files.before_take_place = die
        with pytest.raises(_Killed):
            store.replace_tile(NEW, described(NEW))
        beside._sync.refresh(IN_REAR)
        with beside.read_tile_pixels(IN_REAR) as handle:
            assert bytes(memoryview(handle)) == NEW
        assert subject.on_disk() == {IN_REAR: {FoundKind.TILE, FoundKind.SIDECAR}}
        assert subject.rows.unsettled() == set()

    def test_a_writer_that_dies_before_its_commit_leaves_the_old_tile_and_no_file(
        self, subject: TileStoreSubject
    ) -> None:
        store = subject.open()
        store.write_tile(OLD, described(OLD, age=DAY))
        subject.files.place_beside(subject.files.stage(NEW, described(NEW)))
        assert store.read_tile_bytes(IN_REAR) == OLD
        opened = subject.open()
        assert (opened.opened.replacements_settled, opened.opened.temporaries_removed) == (0, 1)
        assert opened.read_tile_bytes(IN_REAR) == OLD
        assert subject.on_disk() == {IN_REAR: {FoundKind.TILE, FoundKind.SIDECAR}}

    def test_a_disk_that_refuses_the_new_name_is_told_truly_and_made_up_for(
        self, subject: TileStoreSubject
    ) -> None:
        files = _StoppedFiles(subject.files)
        store = subject.open(files)
        store.write_tile(OLD, described(OLD, age=DAY))

        def fail() -> None:
            raise StoreUnavailableError("the disk is gone")

        files.before_take_place = fail
        with pytest.raises(CommitOutcomeUnknownError, match=r"is replaced and committed.*the disk is gone"):
            store.replace_tile(NEW, described(NEW))
        assert subject.kinds()[-1] is EventKind.REPLACED
        store._sync.apply([])
        assert store.read_tile_bytes(IN_REAR) == OLD
        files.before_take_place = lambda: None
        store._sync.apply([])
        assert store.read_tile_bytes(IN_REAR) == NEW
        assert subject.rows.unsettled() == set()

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

    def test_a_tile_that_is_deleted_while_it_is_replaced_leaves_nothing(
        self, subject: TileStoreSubject
    ) -> None:
        rows = _DeletedBehindCommit(subject)
        store = attrs.evolve(subject, rows=rows).open()
        store.write_tile(OLD, described(OLD, age=DAY))
        store.replace_tile(NEW, described(NEW))
        assert subject.committed() == {}
        assert subject.on_disk() == {}
        assert subject.rows.unsettled() == set()


class _SilentRows:
    """Rows that say nothing of a tile while the database does not answer."""

    def __init__(self, subject: TileStoreSubject) -> None:
        self._rows = subject.rows
        self.answers = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def get(self, tile_id: TileId) -> Any:
        if not self.answers:
            raise StoreUnavailableError("the database is gone")
        return self._rows.get(tile_id)


class _DeletedBehindCommit:
    """Rows whose tile another store deletes between COMMIT and settling."""

    def __init__(self, subject: TileStoreSubject) -> None:
        self._subject = subject

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subject.rows, name)

    def settling(self, tile_id: TileId) -> Any:
        with self._subject.rows.removing(tile_id):
            self._subject.files.remove(tile_id)
        return self._subject.rows.settling(tile_id)
