"""Access times on their way to the database: in order, the latest per tile, kept while it is away."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import attrs
import pytest

from aerotile.domain import lru as lru_module
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.lru import LruAccessBuffer
from aerotile.domain.tiles import TileId, TileSource

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
A, B, C = (TileId(4, x, 0, TileSource.IMPORTED) for x in range(3))


class Database:
    def __init__(self) -> None:
        self.away = False
        self.batches: list[dict[TileId, datetime]] = []

    def record_lru_access(self, accesses: dict[TileId, datetime]) -> None:
        if self.away:
            raise StoreUnavailableError("away")
        self.batches.append(dict(accesses))


@attrs.define
class Reads:
    """What was read, and a clock that says when."""

    tile_ids: list[TileId] = attrs.field(factory=list)
    time: datetime = NOW

    def drain(self) -> list[TileId]:
        drained, self.tile_ids = self.tile_ids, []
        return drained

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        raise AssertionError("a flush only tells the time")

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a flush does not sleep")


def test_a_flush_hands_over_the_latest_time_of_each_tile_in_order_of_reading() -> None:
    database, reads = Database(), Reads()
    buffer = LruAccessBuffer(reads.drain, reads)
    reads.tile_ids = [A, B, A]
    assert buffer.flush(database) == 2
    assert database.batches == [{B: NOW - MICROSECOND, A: NOW}]
    assert buffer.flush(database) == 0
    assert len(database.batches) == 1


def test_what_a_failed_flush_could_not_hand_over_goes_with_the_next() -> None:
    database, reads = Database(), Reads()
    buffer = LruAccessBuffer(reads.drain, reads)
    reads.tile_ids = [A, C]
    database.away = True
    with pytest.raises(StoreUnavailableError):
        buffer.flush(database)
    assert len(buffer) == 2
    reads.tile_ids, reads.time = [B, A], NOW + timedelta(seconds=1)
    database.away = False
    assert buffer.flush(database) == 3
    later = NOW + timedelta(seconds=1)
    assert database.batches == [{C: NOW, B: later - MICROSECOND, A: later}]
    assert list(database.batches[0]) == [C, B, A]
    assert len(buffer) == 0


def test_memory_stays_bounded_and_the_oldest_notes_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lru_module, "MAX_GATHERED", 2)
    database, reads = Database(), Reads()
    buffer = LruAccessBuffer(reads.drain, reads)
    database.away = True
    reads.tile_ids = [A, B, C]
    with pytest.raises(StoreUnavailableError):
        buffer.flush(database)
    assert len(buffer) == 2
    reads.tile_ids = [A]
    database.away = False
    buffer.flush(database)
    assert set(database.batches[0]) == {C, A}
