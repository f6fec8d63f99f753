"""The lock that excludes writers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ....domain.errors import StoreUnavailableError
from ....domain.values.tiles import TileId
from .subject import NOW, OfTileRows, TileRowsSubject, described, imported


class Lock(OfTileRows):
    """The lock that excludes writers."""

    def test_the_lock_waits_for_open_rows_and_then_sees_how_they_ended(
        self, subject: TileRowsSubject
    ) -> None:
        inserted, go_on = threading.Event(), threading.Event()

        def write() -> None:
            with subject.rows.insert(described(imported(1)), NOW) as row:
                row.finish_insert()
                inserted.set()
                go_on.wait(30)
                row.commit()

        def look() -> set[TileId]:
            with subject.rows.locked(30) as locked:
                return set(locked.committed_among([imported(1), imported(2)]))

        with ThreadPoolExecutor(2) as pool:
            writing = pool.submit(write)
            assert inserted.wait(30)
            looking = pool.submit(look)
            threading.Event().wait(0.2)
            assert not looking.done()
            go_on.set()
            writing.result(timeout=30)
            assert looking.result(timeout=30) == {imported(1)}

    @pytest.mark.parametrize("in_batch", [False, True])
    def test_the_lock_keeps_new_writers_waiting(self, subject: TileRowsSubject, in_batch: bool) -> None:
        released = threading.Event()

        def write() -> bool:
            if in_batch:
                with subject.rows.insert_many([described(imported(1))], NOW) as rows:
                    waited = released.is_set()
                    rows.commit()
            else:
                with subject.rows.insert(described(imported(1)), NOW) as row:
                    row.finish_insert()
                    waited = released.is_set()
                    row.commit()
            return waited

        with ThreadPoolExecutor(1) as pool:
            with subject.rows.locked(30):
                writing = pool.submit(write)
                released.wait(0.3)
                assert not writing.done()
                released.set()
            assert writing.result(timeout=30)

    def test_the_lock_gives_up_in_time_and_leaves_writers_alone(self, subject: TileRowsSubject) -> None:
        with subject.rows.insert(described(imported(1)), NOW) as row:
            row.finish_insert()
            with pytest.raises(StoreUnavailableError), subject.rows.locked(0.1):
                pytest.fail("the lock was had beside a writer")
            row.commit()
        subject.store(described(imported(2)))
        assert subject.committed() == {imported(1), imported(2)}

    def test_two_locks_exclude_each_other(self, subject: TileRowsSubject) -> None:
        with (
            subject.rows.locked(30),
            pytest.raises(StoreUnavailableError),
            subject.rows.locked(0.1),
        ):
            pytest.fail("two had the lock at once")

    def test_rows_under_the_lock_are_told_whole_and_unknown_tiles_are_left_out(
        self, subject: TileRowsSubject
    ) -> None:
        subject.store(*(described(imported(x)) for x in range(3)))
        with subject.rows.locked(30) as locked:
            found = locked.committed_among(imported(x) for x in (0, 2, 5))
            assert locked.committed_among([]) == {}
        assert found == {t: subject.rows.get(t) for t in (imported(0), imported(2))}
