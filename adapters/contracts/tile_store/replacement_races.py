"""Replacements beside others: the old tile or the new one, whole, at every instant."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from ....domain.errors import (
    CommitOutcomeUnknownError,
    NotNewerError,
    StoreUnavailableError,
)
from ....domain.flight_events import EventKind
from ....domain.ports.tile_files import TileFiles
from ....domain.values.inventory import FoundKind
from ....domain.values.tiles import TileId
from .replacements import DAY, NEW, OLD
from .subject import IN_REAR, OfTileStore, TileStoreSubject, described, jpeg


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


class ReplacementRaces(OfTileStore):
    """Held by a store whose tiles are read, written and deleted while they are replaced."""

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
