"""The health of a process: which states are degraded, for how long, and what a supervisor gets."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from budgeted_cache import Cache, imported, onboard

from aerotile.adapters.health.health_file import HealthFile
from aerotile.adapters.health.monitor import PartsMonitor
from aerotile.adapters.health.service_manager import ServiceManager
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.recall_source import MemoryRecallSource
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.domain.errors import CacheBudgetExhaustedError, RecallListError
from aerotile.domain.ports.health_monitor import HealthMonitor
from aerotile.domain.ports.recall_source import RecallInForce
from aerotile.domain.store.clock_guard import ClockGuard
from aerotile.domain.store.recall_guard import RecallGuard
from aerotile.domain.values.disk_usage import footprint
from aerotile.domain.values.health import Degradation, DegradedState, Health
from aerotile.domain.values.recall_list import RecallList

START = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
GONE = Degradation(DegradedState.DATABASE_GONE, "the database does not answer: no route")
FORGED = RecallList(number=7, reason="forged")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


def test_a_monitor_counts_beats_and_knows_how_long_ago_the_last_one_was(clock: ManualClock) -> None:
    monitor = PartsMonitor(lambda: [GONE], clock)
    assert isinstance(monitor, HealthMonitor)
    assert monitor.health() == Health((GONE,), 0, None)
    monitor.beat()
    monitor.beat()
    clock.advance(timedelta(seconds=2.5))
    health = monitor.health()
    assert (health.beats, health.seconds_since_beat) == (2, 2.5)
    assert health.states == {DegradedState.DATABASE_GONE}


def test_a_file_is_whole_says_who_when_and_what_and_goes_with_its_process(
    clock: ManualClock, tmp_path: Path
) -> None:
    path = tmp_path / "health.json"
    file = HealthFile(path, clock, 1.0)
    file.write(Health((), 0, None))
    assert json.loads(path.read_bytes())["status"] == "ok"
    clock.advance(timedelta(seconds=3))
    file.write(Health((GONE,), 41, 0.1234))
    assert json.loads(path.read_bytes()) == {
        "pid": os.getpid(), "written_at": "2026-05-01T12:00:03.000+00:00", "monotonic_s": 3.0,
        "period_s": 1.0, "status": "degraded",
        "degraded": [{"state": "database_gone", "what": GONE.what}],
        "beats": 41, "seconds_since_beat": 0.123,
    }  # fmt: skip
    assert [each.name for each in tmp_path.iterdir()] == ["health.json"]
    file.remove()
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_written_is_logged_once_until_it_can(
    clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = HealthFile(tmp_path / "run" / "health.json", clock, 1.0)
    for _ in range(2):
        file.write(Health((), 0, None))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No such file" in caplog.text
    (tmp_path / "run").mkdir()
    file.write(Health((), 0, None))
    assert json.loads((tmp_path / "run" / "health.json").read_bytes())["status"] == "ok"


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(60)
        yield receiver


def test_systemd_is_told_ready_with_the_first_beat_and_the_watchdog_is_fed_by_beats_alone(
    systemd: socket.socket,
) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": systemd.getsockname()})
    assert manager.is_asked
    for degradations, beats, told in [
        ((), 0, "STATUS=ok"),
        ((), 1, "READY=1\nWATCHDOG=1"),
        ((GONE,), 14, "WATCHDOG=1\nSTATUS=degraded: database_gone"),
        ((GONE,), 14, None),  # the loop hangs
        ((), 15, "WATCHDOG=1\nSTATUS=ok"),
    ]:
        manager.tell(Health(degradations, beats, None))
        if told is not None:
            assert systemd.recv(4096).decode() == told
    manager.tell_stopping()
    assert systemd.recv(4096) == b"STOPPING=1"


def test_a_socket_of_the_abstract_namespace_is_reached() -> None:
    name = f"aerotile-{os.getpid()}-{threading.get_ident()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(60)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).tell_stopping()
        assert receiver.recv(4096) == b"STOPPING=1"


def test_a_service_manager_that_is_away_costs_a_line_and_is_told_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "notify"
    manager = ServiceManager({"NOTIFY_SOCKET": str(path)})
    for _ in range(2):
        manager.tell(Health((), 1, 0.0))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(60)
        manager.tell(Health((), 1, 0.0))
        assert receiver.recv(4096) == b"READY=1\nWATCHDOG=1\nSTATUS=ok"
    assert not ServiceManager({}).is_asked
    ServiceManager({}).tell(Health((), 1, 0.0))


@pytest.mark.parametrize(
    ("environment", "period_s"),
    [
        ({}, 1.0),
        ({"WATCHDOG_USEC": "1000000"}, 0.5),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, 1.0),
        ({"WATCHDOG_USEC": "20000000"}, 1.0),
        ({"WATCHDOG_USEC": "0"}, 1.0),
        ({"WATCHDOG_USEC": "soon"}, 1.0),
    ],
)
def test_a_watchdog_is_fed_twice_within_its_time(environment: dict[str, str], period_s: float) -> None:
    assert ServiceManager(environment).period_s(1.0) == period_s


def test_a_refused_recall_list_is_known_until_a_trusted_one_is_in_force() -> None:
    class Doubtful(MemoryRecallSource):
        error: Exception | None = None

        def read(self) -> RecallInForce | None:
            if self.error is not None:
                raise self.error
            return super().read()

    source = Doubtful(FORGED)
    guard = RecallGuard(source, MemoryFlightRecorder().record)
    assert guard.refused is None
    source.put(RecallList(number=6, reason="older"))
    guard.look()
    assert guard.refused == "list 6 lies in the place of list 7"
    source.error = RecallListError("it is not signed")
    source.put(FORGED)
    guard.look()
    assert guard.refused == "it is not signed"
    source.error = None
    source.put(RecallList(number=8, reason="newer"))
    guard.look()
    assert guard.refused is None


def test_an_exhausted_budget_is_known_until_a_write_is_given_room() -> None:
    each = footprint(100)
    cache = Cache.of(3 * each, onboard_budget_bytes=each)
    cache.write(onboard(0))
    with pytest.raises(CacheBudgetExhaustedError):
        cache.write(onboard(1))
    assert cache.enforcer.refusal is not None
    cache.write(imported(2))
    assert cache.enforcer.refusal is not None  # there is room for the map, and none for onboard tiles
    cache.store.delete_tile(onboard(0))
    cache.write(onboard(1))
    assert cache.enforcer.refusal is None


def opened_parts(clock: ManualClock, tmp_path: Path) -> dict[str, Any]:
    """Parts that are well, under the names that a runtime has for them."""
    status = SimpleNamespace(dropped=0, failing=False, last_error=None)
    return {
        "tile_feed": SimpleNamespace(is_following=True),
        "database": SimpleNamespace(failure=None),
        "clock_guard": ClockGuard(clock, MemoryTileCatalogue(), MemoryFlightRecorder()),
        "mapped_base": SimpleNamespace(
            signed=SimpleNamespace(is_trusted=True, manifest=SimpleNamespace(name="000001"))
        ),
        "files": SimpleNamespace(readers=SimpleNamespace(late_reads=0, hanging_threads=0)),
        "recorder": SimpleNamespace(status=lambda: status, state=status),
        "tile_store": SimpleNamespace(unknown_lookups=0),
        "recalls": SimpleNamespace(refused=None),
        "budget_enforcer": SimpleNamespace(refusal=None),
    }


def spoil(name: str, parts: dict[str, Any], clock: ManualClock) -> None:
    spoiled = {
        "database": lambda: setattr(parts["database"], "failure", "no route"),
        "feed": lambda: setattr(parts["tile_feed"], "is_following", False),
        "clock": lambda: clock.set(START - timedelta(days=900)),
        "base": lambda: setattr(parts["mapped_base"].signed, "is_trusted", False),
        "late reads": lambda: setattr(parts["files"].readers, "late_reads", 3),
        "hanging disk": lambda: setattr(parts["files"].readers, "hanging_threads", 2),
        "dropped events": lambda: setattr(parts["recorder"].state, "dropped", 5),
        "failing record": lambda: setattr(parts["recorder"].state, "failing", True),
        "unknown lookups": lambda: setattr(parts["tile_store"], "unknown_lookups", 1),
        "recall list": lambda: setattr(parts["recalls"], "refused", "it is not signed"),
        "budget": lambda: setattr(parts["budget_enforcer"], "refusal", "no room"),
    }
    spoiled[name]()


STATES = {
    "database": (DegradedState.DATABASE_GONE, True),
    "feed": (DegradedState.DATABASE_GONE, True),
    "clock": (DegradedState.CLOCK_UNTRUSTED, True),
    "base": (DegradedState.BASE_UNSIGNED, True),
    "late reads": (DegradedState.DISK_SLOW, False),
    "hanging disk": (DegradedState.DISK_SLOW, True),
    "dropped events": (DegradedState.RECORD_DROPPING, False),
    "failing record": (DegradedState.RECORD_DROPPING, True),
    "unknown lookups": (DegradedState.INDEX_FOREIGN, False),
    "recall list": (DegradedState.RECALL_REFUSED, True),
    "budget": (DegradedState.BUDGET_EXHAUSTED, True),
}
"""The state that each fault makes, and whether it lasts as long as the fault; else for a minute."""


@pytest.mark.parametrize("fault", STATES)
def test_each_fault_is_a_state_of_its_own_and_a_count_that_grew_is_one_for_a_minute(
    fault: str, clock: ManualClock, tmp_path: Path
) -> None:
    from aerotile.adapters.composition.degraded import RECENT_S, RecentCounts, degraded_states

    parts, recent = opened_parts(clock, tmp_path), RecentCounts(clock)
    parts["clock_guard"].look()
    assert list(degraded_states({}, recent)) == []
    assert list(degraded_states(parts, recent)) == []
    spoil(fault, parts, clock)
    state, lasts = STATES[fault]
    (found,) = degraded_states(parts, recent)
    assert (found.state, found.what.isprintable(), bool(found.what)) == (state, True, True)
    clock.advance(timedelta(seconds=RECENT_S))
    assert [each.state for each in degraded_states(parts, recent)] == ([state] if lasts else [])


def test_every_state_has_a_fault_here() -> None:
    assert {state for state, _ in STATES.values()} == set(DegradedState)
