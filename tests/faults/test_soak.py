"""A flight that goes on and on holds no more memory, descriptors, mappings, threads and connections.

TEST_SOAK_SECONDS sets how long (default 20; continuous integration takes 600 beside its other tests, and by
hand it may be an hour). The first part of a run is warm-up: caches fill, pools open, allocators settle.
Behind it, what is held must be level: by its medians in the first and the last third, and by its slope of
least squares.

TEST_SOAK_BESIDE names the folder of a soak that runs beside this session: its outcome is waited for, and is
this one's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest
from fault_tally import FaultTally
from flight_soak import MOST_RECORD_BYTES, SEGMENT_BYTES

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.provider.server import ReferenceProvider

pytestmark = pytest.mark.faults

WORKER = Path(__file__).with_name("flight_soak.py")
SECONDS = float(os.environ.get("TEST_SOAK_SECONDS", "20"))
BESIDE = os.environ.get("TEST_SOAK_BESIDE")
LONGEST_WAIT_S = 900.0
LEAK_SECONDS = 45.0
"""At most: enough operations end it before."""
TOKEN = "t0ps3cr3t-t0k3n"
WARM_UP = 0.3
"""The share of the samples that is not looked at."""

MOST_GROWTH = {
    "python_blocks": 4_000,
    # Python's table of interned strings (paths intern their parts) is made anew now and then, with 1.9 or 3.8
    # MiB more or less, for as many strings as before; and the allocator keeps the room of the old one.
    "malloc_kib": 6_144,
    "anonymous_kib": 12_288,
    "resident_kib": 14_336,
    "descriptors": 3,
    "sockets": 2,
    "tile_mappings": 30,
    "other_mappings": 8,
    "threads": 2,
}
"""How much more may be held in the last third than in the first, and by the slope over the whole."""


@attrs.frozen
class Level:
    """How one number went over a run, after its warm-up."""

    name: str
    first: float
    """Median of the first third."""
    last: float
    """Median of the last third."""
    slope: float
    """Growth per 1,000 operations, by least squares."""
    rise: float
    """What the slope makes over all operations."""

    @property
    def is_flat(self) -> bool:
        """Whether neither the thirds nor the slope show more than is allowed."""
        return max(self.last - self.first, self.rise) <= MOST_GROWTH[self.name]

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.first:g} in the first third, {self.last:g} in the last, "
            f"{self.slope:+.4f} per 1,000 operations, {self.rise:+.1f} over all"
        )


def levels(samples: Sequence[dict[str, int]]) -> list[Level]:
    """How each number went."""
    steady = samples[int(len(samples) * WARM_UP) :]
    operations = np.array([sample["operations"] for sample in steady], np.float64) / 1000
    third = len(steady) // 3
    found = []
    for name in MOST_GROWTH:
        values = np.array([sample[name] for sample in steady], np.float64)
        slope = float(np.polyfit(operations, values, 1)[0])
        found.append(
            Level(
                name,
                float(np.median(values[:third])),
                float(np.median(values[-third:])),
                slope,
                slope * float(operations[-1] - operations[0]),
            )
        )
    return found


def soak(folder: Path, dsn: str, seconds: float, *options: str) -> list[dict[str, int]]:
    """Let the flight go on for so long in a process of its own; its samples."""
    samples = folder / "samples"
    folder.mkdir(exist_ok=True)
    with ReferenceProvider(folder / "provider", Secret(TOKEN)) as provider:
        command = [sys.executable, str(WORKER), str(folder / "flight"), dsn, provider.url, TOKEN]
        command += [str(seconds), str(samples)]
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
        with (
            subprocess.Popen([*command, *options], text=True, **pipes) as flight,
            subprocess.Popen([*command, "neighbour"], text=True, **pipes) as neighbour,
        ):
            try:
                complaints = [each.communicate(timeout=seconds + 120)[1] for each in (flight, neighbour)]
            finally:
                flight.kill()
                neighbour.kill()
    assert (flight.returncode, neighbour.returncode, complaints) == (0, 0, ["", ""])
    return [json.loads(line) for line in samples.read_text().splitlines()]


@pytest.mark.skipif(BESIDE is not None, reason="TEST_SOAK_BESIDE: it runs beside this session")
@pytest.mark.timeout(SECONDS + 180)
def test_a_long_flight_holds_no_more_at_its_end_than_after_its_warm_up(
    migrated_database: str, tmp_path: Path, fault_tally: FaultTally, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = soak(tmp_path, migrated_database, SECONDS)
    found = levels(samples)
    most_record_bytes = max(sample["record_bytes"] for sample in samples)
    with capsys.disabled():
        print(f"\nsoak of {SECONDS:g} s, {samples[-1]['operations']} operations")  # noqa: T201 - what it is for
        for level in found:
            print(f"  {level}")  # noqa: T201 - likewise
        print(f"  record: {most_record_bytes} bytes at most")  # noqa: T201 - likewise
    leaking = [str(level) for level in found if not level.is_flat]
    thousands = samples[-1]["operations"] // 1000
    fault_tally.add("operations of a soak, in thousands", thousands, leaked=len(leaking))
    assert leaking == []
    # Each process that writes holds a segment beyond the bound; here there are two at times.
    assert most_record_bytes <= MOST_RECORD_BYTES + SEGMENT_BYTES


@pytest.mark.last
@pytest.mark.skipif(BESIDE is None, reason="TEST_SOAK_BESIDE is not set: no soak runs beside this session")
@pytest.mark.timeout(LONGEST_WAIT_S + 60)
def test_the_soak_beside_this_session_ended_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert BESIDE is not None
    status, log = Path(BESIDE, "status"), Path(BESIDE, "log")
    deadline = time.monotonic() + LONGEST_WAIT_S
    while not status.exists():
        assert time.monotonic() < deadline, f"it does not end: {log.read_text()}"
        time.sleep(0.2)
    with capsys.disabled():
        print(f"\n{log.read_text()}")  # noqa: T201 - what the other session has to say
    assert status.read_text() == "0\n"


@pytest.mark.timeout(LEAK_SECONDS + 180)
def test_leaks_on_purpose_are_found(migrated_database: str, tmp_path: Path) -> None:
    samples = soak(tmp_path, migrated_database, LEAK_SECONDS, "leak")
    leaking = {level.name for level in levels(samples) if not level.is_flat}
    assert leaking >= {"python_blocks", "malloc_kib", "descriptors", "other_mappings", "sockets"}
