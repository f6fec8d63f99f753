"""Whole flights of the domain over parts that fail at random; one seed is one flight and replays exactly.

`TEST_SIMULATION_FLIGHTS` sets how many (default 400); the seed of the run is that of the first flight.
"""

from __future__ import annotations

import os

import pytest
from fault_tally import FaultTally
from simulated_flight import Flights

pytestmark = pytest.mark.faults

DEEDS = 40
FIRST_SEED = int(os.environ["TEST_SEED"])
FLIGHTS = int(os.environ.get("TEST_SIMULATION_FLIGHTS", "400"))


def test_no_flight_loses_what_was_confirmed(fault_tally: FaultTally) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + FLIGHTS):
        flights = Flights(seed)
        try:
            flights.run(DEEDS)
        except BaseException as error:  # noqa: BLE001 - whatever ends a flight, its seed is told
            replay, story = f"TEST_SIMULATION_FLIGHTS=1 TEST_SEED={seed}", "\n".join(flights.trace[-15:])
            fault_tally.add("simulated flights", 1, lost=1)
            pytest.fail(f"replay with {replay}: {error!r}\nlast deeds:\n{story}")
        fault_tally.add("simulated flights", 1)
        fault_tally.add("simulated power cuts", flights.dice.cuts)
        fault_tally.add("simulated failing calls", flights.dice.faults)


def test_a_seed_replays_exactly() -> None:
    first, second = Flights(7), Flights(7)
    first.run(DEEDS)
    second.run(DEEDS)
    assert first.trace == second.trace
    assert first.dice.faults == second.dice.faults
