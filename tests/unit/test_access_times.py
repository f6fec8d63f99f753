"""Access times on their way to the database: in order, latest per tile, kept while it is away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import attrs
import pytest

from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.store import access_times as lru_module
from aerotile.domain.store.access_times import AccessTimeBuffer
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.domain.values.timestamps import microseconds_of

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
A, B, C = (TileId(4, x, 0, TileSource.IMPORTED) for x in range(3))


class Database:
    """The database, and the catalogue in `noted`."""

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


@attrs.define
class Reads:
    """What was read, and a clock that says when."""

    tile_ids: list[TileId] = attrs.field(factory=list)
    time: datetime = NOW

    def drain(self) -> list[TileId]:
        drained, self.tile_ids = self.tile_ids, []
        return drained

    def stamps(self, count: int) -> datetime:
        return self.time - (count - 1) * MICROSECOND


def test_a_flush_hands_over_the_latest_time_of_each_tile_in_order_of_reading() -> None:
    database, reads = Database(), Reads()
    buffer = AccessTimeBuffer(reads.drain, reads.stamps, database)
    reads.tile_ids = [A, B, A]
    assert buffer.flush(database) == 2
    assert database.batches == [{B: NOW - MICROSECOND, A: NOW}]
    assert buffer.flush(database) == 0
    assert len(database.batches) == 1


def test_what_a_failed_flush_could_not_hand_over_goes_with_the_next() -> None:
    database, reads = Database(), Reads()
    buffer = AccessTimeBuffer(reads.drain, reads.stamps, database)
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
    assert len(buffer) == 0


def test_what_was_not_handed_over_before_a_batch_failed_goes_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing(Database):
        def record_lru_access(self, accesses: dict[TileId, datetime]) -> None:
            self.away = len(self.batches) == 1
            super().record_lru_access(accesses)

    monkeypatch.setattr(lru_module, "BATCH", 1)
    database, failing, reads = Database(), Failing(), Reads()
    buffer = AccessTimeBuffer(reads.drain, reads.stamps, database)
    reads.tile_ids = [C, A, B]
    with pytest.raises(StoreUnavailableError):
        buffer.flush(failing)
    reads.tile_ids, reads.time = [B], NOW + timedelta(seconds=1)
    assert buffer.flush(database) == 2
    assert failing.batches == [{A: NOW - MICROSECOND}]
    assert database.batches == [{B: NOW + timedelta(seconds=1)}, {C: NOW - 2 * MICROSECOND}]


def test_the_catalogue_hears_of_reads_without_the_database() -> None:
    database, reads = Database(), Reads()
    buffer = AccessTimeBuffer(reads.drain, reads.stamps, database)
    database.away = True
    reads.tile_ids = [A, B]
    buffer.gather()
    assert database.noted == {A: microseconds_of(NOW) - 1, B: microseconds_of(NOW)}
    reads.tile_ids, reads.time = [C], NOW + timedelta(seconds=1)
    with pytest.raises(StoreUnavailableError):
        buffer.flush(database)
    assert database.noted[C] == microseconds_of(NOW) + 1_000_000
    assert len(buffer) == 3


def test_reads_stay_in_order_when_they_are_gathered_faster_than_the_clock_goes_on() -> None:
    database, reads = Database(), Reads()
    buffer = AccessTimeBuffer(reads.drain, reads.stamps, database)
    for tile_ids in ([A, B], [C], [B, A]):
        reads.tile_ids = tile_ids
        buffer.gather()
    assert sorted(database.noted, key=lambda tile_id: database.noted[tile_id]) == [C, B, A]


def test_memory_stays_bounded_and_the_oldest_notes_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lru_module, "MAX_GATHERED", 2)
    database, reads = Database(), Reads()
    buffer = AccessTimeBuffer(reads.drain, reads.stamps, database)
    database.away = True
    reads.tile_ids = [A, B, C]
    with pytest.raises(StoreUnavailableError):
        buffer.flush(database)
    assert len(buffer) == 2
    reads.tile_ids = [A]
    database.away = False
    buffer.flush(database)
    assert set(database.batches[0]) == {C, A}
