"""Access times gathered in memory: the latest per tile, kept when the database is away, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest

from aerotile.domain import lru as lru_module
from aerotile.domain.catalogue import microseconds_of
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.lru import LruAccessBuffer
from aerotile.domain.tiles import TileId, TileSource

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
A, B, C = (TileId(4, x, 0, TileSource.IMPORTED) for x in range(3))


class Database:
    """The database and the catalogue in one."""

    def __init__(self) -> None:
        self.away = False
        self.noted: dict[TileId, int] = {}
        self.batches: list[dict[TileId, datetime]] = []

    def record_lru_access(self, accesses: dict[TileId, datetime]) -> None:
        if self.away:
            raise StoreUnavailableError("away")
        self.batches.append(dict(accesses))

    def note_accesses(self, tile_ids: Sequence[TileId], accessed_us: Sequence[int]) -> None:
        self.noted.update(zip(tile_ids, accessed_us, strict=True))


def test_a_flush_hands_over_the_latest_time_of_each_tile_in_one_batch() -> None:
    database, buffer = Database(), LruAccessBuffer()
    buffer.note(A, NOW)
    buffer.note(B, NOW)
    buffer.note(A, NOW + timedelta(seconds=1))
    assert buffer.flush(database, database) == 2
    assert database.batches == [{B: NOW, A: NOW + timedelta(seconds=1)}]
    assert buffer.flush(database, database) == 0
    assert len(database.batches) == 1


def test_what_a_failed_flush_could_not_hand_over_goes_with_the_next() -> None:
    database, buffer = Database(), LruAccessBuffer()
    buffer.note(A, NOW)
    database.away = True
    with pytest.raises(StoreUnavailableError):
        buffer.flush(database, database)
    buffer.note(B, NOW)
    database.away = False
    assert buffer.flush(database, database) == 2
    assert database.batches == [{A: NOW, B: NOW}]


def test_what_was_not_handed_over_before_a_batch_failed_goes_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing(Database):
        def record_lru_access(self, accesses: dict[TileId, datetime]) -> None:
            self.away = len(self.batches) == 1
            super().record_lru_access(accesses)

    monkeypatch.setattr(lru_module, "BATCH", 1)
    database, failing, buffer = Database(), Failing(), LruAccessBuffer()
    for tile_id in (C, A, B):
        buffer.note(tile_id, NOW)
    with pytest.raises(StoreUnavailableError):
        buffer.flush(failing, failing)
    buffer.note(B, NOW + timedelta(seconds=1))
    assert buffer.flush(database, database) == 2
    assert failing.batches == [{A: NOW}]
    assert database.batches == [{B: NOW + timedelta(seconds=1)}, {C: NOW}]


def test_the_catalogue_hears_of_reads_without_the_database_and_again_with_every_flush() -> None:
    database, buffer = Database(), LruAccessBuffer()
    database.away = True
    buffer.note(A, NOW)
    buffer.note_in(database)
    assert database.noted == {A: microseconds_of(NOW)}
    buffer.note(B, NOW)
    with pytest.raises(StoreUnavailableError):
        buffer.flush(database, database)
    assert database.noted == {A: microseconds_of(NOW), B: microseconds_of(NOW)}
    assert len(buffer) == 2


def test_the_flusher_is_woken_once_when_enough_is_gathered() -> None:
    woken: list[bool] = []
    buffer = LruAccessBuffer(flush_entries=2, when_full=lambda: woken.append(True))
    for tile_id in (A, A, B, C):
        buffer.note(tile_id, NOW)
    assert woken == [True]


def test_memory_stays_bounded_and_the_oldest_notes_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lru_module, "MAX_GATHERED", 2)
    database, buffer = Database(), LruAccessBuffer()
    for tile_id in (A, B, C):
        buffer.note(tile_id, NOW)
    assert len(buffer) == 2
    database.away = True
    with pytest.raises(StoreUnavailableError):
        buffer.flush(database, database)
    buffer.note(A, NOW)
    database.away = False
    buffer.flush(database, database)
    assert set(database.batches[0]) == {C, A}
