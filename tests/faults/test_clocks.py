"""Clocks that jump, were never set, or are in another zone: real store, real record, scripted clock."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from fault_tally import FaultTally

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.sections import BudgetConfig
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.recorder.reader import RecordReader
from aerotile.domain.errors import CaptureTimeInFutureError
from aerotile.domain.flight_events import RecordEnvelope
from aerotile.domain.policies.freshness import FreshnessDecision
from aerotile.domain.ports.clock import Clock
from aerotile.domain.store.verify import verify_store
from aerotile.domain.values.disk_usage import footprint
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

pytestmark = pytest.mark.faults

START = datetime(2026, 5, 1, 6, tzinfo=timezone.utc)
BOOT = datetime(1970, 1, 1, 0, 0, 20, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
TILE_BYTES = 1_000
ROOM = 10
"""Tiles that the budget leaves room for."""


@pytest.fixture
def open_store(migrated_database: str, tmp_path: Path) -> Callable[[Clock], Runtime]:
    """Open the store as a new process would, with a clock of one's own."""

    def opened(clock: Clock) -> Runtime:
        runtime = Runtime(
            AerotileConfig(
                root=tmp_path,
                database=DatabaseConfig(dsn=Secret(migrated_database)),
                budget=BudgetConfig(max_bytes=ROOM * footprint(TILE_BYTES), eviction_batch_size=1),
            )
        )
        runtime.clock = clock  # type: ignore[assignment] # the machine's own, unless a test has another
        return runtime

    return opened


def tile(x: int, captured_at: datetime) -> tuple[bytes, TileMetadata]:
    pixels = example_jpeg(random.Random(x).randbytes(TILE_BYTES), TILE_BYTES)
    return pixels, example_metadata(
        TileId(15, x, 9000, TileSource.IMPORTED), pixels, captured_at=captured_at, ground_sample_distance=2.0
    )


def stored(runtime: Runtime) -> set[int]:
    """The columns of the tiles that are committed."""
    return {row.tile_id.x for row in runtime.rows.committed()}


def record(root: Path) -> list[RecordEnvelope]:
    return [line.envelope for line in RecordReader(root / "record").lines()]


def said_of_the_clock(root: Path) -> list[str]:
    return [f"{e.kind} {e.reason}" for e in record(root) if e.kind.startswith("c6.clock")]


@pytest.mark.parametrize("hours", [-1, -7, -72])
def test_after_a_jump_back_what_was_read_or_written_last_is_still_evicted_last(
    open_store: Callable[[Clock], Runtime], tmp_path: Path, fault_tally: FaultTally, hours: int
) -> None:
    clock = ManualClock(START)
    with open_store(clock) as runtime:
        store = runtime.tile_store
        for x in range(ROOM):
            clock.advance(timedelta(minutes=1))
            store.write_tile(*tile(x, START))
        clock.set(clock.now() + hours * HOUR)
        store.read_tile_pixels(tile(0, START)[1].tile_id).close()
        for x in range(ROOM, ROOM + 5):
            clock.advance(timedelta(seconds=1))
            store.write_tile(*tile(x, clock.now()))
    # 0 was read after the jump, and 10 to 14 were written after it: 1 to 5 were used least recently.
    with open_store(clock) as runtime:
        assert stored(runtime) == {0, *range(6, ROOM + 5)}
        runtime.tile_store.write_tile(*tile(99, clock.now()))
        assert stored(runtime) == {0, *range(7, ROOM + 5), 99}
        assert list(verify_store(runtime.rows, runtime.files)) == []
    assert said_of_the_clock(tmp_path)[0] == "c6.clock_untrusted behind"
    fault_tally.add("clock jumps", 1)


def test_ages_are_never_negative_and_do_not_follow_a_jump_and_say_that_the_clock_is_not_trusted(
    open_store: Callable[[Clock], Runtime], tmp_path: Path, fault_tally: FaultTally
) -> None:
    clock, chance = ManualClock(START), random.Random(5)
    captured_at = START - timedelta(days=100)
    jumps = 200
    with open_store(clock) as runtime:
        store = runtime.tile_store
        tile_id = store.write_tile(*tile(1, captured_at)).tile_id
        right = START
        for _ in range(jumps):
            passed = timedelta(seconds=chance.uniform(0, 3600))
            right += passed
            clock.advance(passed)
            offset = chance.choice([timedelta(0), chance.uniform(-72, 72) * HOUR, BOOT - right])
            clock.set(right + offset)
            verdict = store.verdict(tile_id)
            assert verdict is not None
            assert (verdict.clock_fault is None) is (abs(offset) <= timedelta(minutes=5))
            assert abs(verdict.age - (right - captured_at)) <= timedelta(minutes=5)
            assert (store.clock_fault is None) is (verdict.clock_fault is None)
    said = said_of_the_clock(tmp_path)
    doubts = {f"c6.clock_untrusted {reason}" for reason in ("behind", "ahead", "before_aerotile")}
    assert set(said) == {*doubts, "c6.clock_trusted plausible_again"}
    fault_tally.add("clock jumps", jumps)


def test_a_boot_in_1970_opens_reads_writes_and_says_so(
    open_store: Callable[[Clock], Runtime], tmp_path: Path, fault_tally: FaultTally
) -> None:
    old = START - timedelta(days=400)
    with open_store(ManualClock(START)) as runtime:
        runtime.tile_store.write_tile(*tile(1, old))
        runtime.tile_store.write_tile(*tile(2, START))
    clock = ManualClock(BOOT)
    with open_store(clock) as runtime:
        store = runtime.tile_store
        for x in (1, 2):
            with store.read_tile_pixels(tile(x, old)[1].tile_id) as handle:
                assert bytes(handle) == tile(x, old)[0]
        verdict = store.verdict(tile(1, old)[1].tile_id)
        assert verdict is not None
        assert verdict.decision is FreshnessDecision.DOWNGRADE  # by its own clock the tile is not born yet
        assert verdict.age >= timedelta(days=400)
        assert str(verdict.clock_fault).endswith("which is before Aerotile existed")
        clock.advance(timedelta(seconds=30))
        made = store.write_tile(*tile(3, clock.now()))  # what the aircraft makes carries the same wrong time
        assert made.created_at >= START
        with pytest.raises(CaptureTimeInFutureError, match="is in the future"):
            store.write_tile(*tile(4, START))
        clock.set(START + 5 * HOUR)
        assert runtime.tile_store.clock_fault is None
        store.write_tile(*tile(4, START))
    with open_store(ManualClock(START + 6 * HOUR)) as runtime:
        assert stored(runtime) == {1, 2, 3, 4}
        assert runtime.tile_store.clock_fault is None
        assert list(verify_store(runtime.rows, runtime.files)) == []
    assert said_of_the_clock(tmp_path) == [
        "c6.clock_untrusted before_aerotile",
        "c6.clock_trusted plausible_again",
    ]
    fault_tally.add("clock jumps", 2)


@contextmanager
def time_zone(name: str) -> Iterator[None]:
    former = os.environ.get("TZ")
    try:
        os.environ["TZ"] = name
        time.tzset()
        yield
    finally:
        os.environ.pop("TZ")
        if former is not None:
            os.environ["TZ"] = former
        time.tzset()


class MachineAt:
    """The machine's clock, as its adapter makes it of seconds since 1970, at moments of one's own."""

    def __init__(self, seconds: Iterator[int]) -> None:
        self._seconds = seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(next(self._seconds), timezone.utc)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


# POSIX rules, so that no table of zones has to be installed: hours off UTC, and when the clocks change.
@pytest.mark.parametrize("zone", ["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0", "XXX-14"])
def test_daylight_change_and_zone_of_the_process_move_nothing(
    open_store: Callable[[Clock], Runtime], tmp_path: Path, fault_tally: FaultTally, zone: str
) -> None:
    change = datetime(2026, 10, 25, 1, tzinfo=timezone.utc)  # 3:00 becomes 2:00 again in central Europe
    before = int(change.timestamp()) - 60
    with time_zone(zone), open_store(MachineAt(itertools.count(before))) as runtime:
        store = runtime.tile_store
        for x in range(ROOM):
            created = store.write_tile(*tile(x, change - HOUR)).created_at
            verdict = store.verdict(tile(x, change)[1].tile_id)
            assert verdict is not None
            assert verdict.clock_fault is None
            assert HOUR - timedelta(seconds=60) <= verdict.age < 2 * HOUR
            assert created.utcoffset() == timedelta(0)
        assert abs(SystemClock().now().timestamp() - time.time()) < 60
        rows = sorted(runtime.rows.committed(), key=lambda row: row.tile_id.x)
        assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)
        assert {row.captured_at for row in rows} == {change - HOUR}
    written = [envelope for envelope in record(tmp_path) if envelope.kind == "c6.write"]
    assert len(written) == ROOM
    times = [envelope.wall_time for envelope in written]
    assert times == sorted(times)
    assert times[0] - datetime.fromtimestamp(before, timezone.utc) < timedelta(minutes=5)
    assert said_of_the_clock(tmp_path) == []
    fault_tally.add("time zones and daylight changes", 1)


def test_records_keep_their_order_and_both_clocks_whatever_wall_time_does(
    open_store: Callable[[Clock], Runtime], tmp_path: Path, fault_tally: FaultTally
) -> None:
    clock, chance = ManualClock(START), random.Random(6)
    writes = 60
    with open_store(clock) as runtime:
        for x in range(writes):
            clock.advance(timedelta(seconds=chance.uniform(0, 60)))
            clock.set(START + chance.uniform(-48, 48) * HOUR)
            runtime.tile_store.write_tile(*tile(x, START - 49 * HOUR))
    envelopes = record(tmp_path)
    written = [envelope for envelope in envelopes if envelope.kind == "c6.write"]
    columns = [envelope.payload["tile"].split("/")[-2] for envelope in written]
    assert columns == [str(x) for x in range(writes)]
    monotonic = [envelope.monotonic_ns for envelope in envelopes]
    assert monotonic == sorted(monotonic)
    # Wall time is what the clock said, wrong as it was: it is evidence too.
    assert {envelope.wall_time < START for envelope in written} == {True, False}
    fault_tally.add("clock jumps", writes)
