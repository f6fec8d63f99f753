"""Damage to the flight record: every whole line is read, whatever else is; the recorder goes on beside it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from damages import EMPTIED, LINK_TO_COPY, REMOVED, REPLACEMENTS, Damage, obeying_file_modes, of_content
from fault_tally import FaultTally

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader
from aerotile.adapters.recorder.line_format import encode_line
from aerotile.domain.flight_events import EventKind, FlightEvent, RecordEnvelope

EACH = int(os.environ.get("TEST_DAMAGES", "20"))
LINES = 10
SEGMENTS = [f"record-{number:06d}.jsonl" for number in (1, 2, 3)]

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + EACH)]


def event(number: int) -> FlightEvent:
    return FlightEvent(EventKind.WRITE, "committed", {"number": number})


def line(number: int) -> bytes:
    moment = datetime(2026, 5, 1, 12, number % 60, tzinfo=timezone.utc)
    return encode_line(RecordEnvelope.of(event(number), wall_time=moment, monotonic_ns=number))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of three segments."""
    folder = tmp_path / "site" / "record"
    folder.mkdir(parents=True)
    for place, name in enumerate(SEGMENTS):
        (folder / name).write_bytes(b"".join(line(place * LINES + number) for number in range(LINES)))
    return folder


def numbers(reader: RecordReader) -> list[int]:
    return [found.envelope.payload["number"] for found in reader.lines()]


def aerotile_record(root: Path) -> subprocess.CompletedProcess[str]:
    """What the command shows; it needs no database."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AEROTILE_")}
    return subprocess.run(
        obeying_file_modes(
            [sys.executable, "-m", "aerotile.adapters.cli", "--root", str(root), "record", "--json"]
        ),
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_damage_costs_no_more_than_the_lines_it_touches(record: Path, fault_tally: FaultTally) -> None:
    path = record / SEGMENTS[1]
    good = path.read_bytes()
    chance = random.Random(3)
    damages = [*of_content(len(good), chance, each=EACH), EMPTIED, REMOVED]
    for damage in damages:
        damage.act(path)
        left = path.read_bytes() if path.exists() else b""
        whole = [n for n in range(LINES, 2 * LINES) if line(n)[:-1] in left.split(b"\n")]
        reader = RecordReader(record)
        assert numbers(reader) == [*range(LINES), *whole, *range(2 * LINES, 3 * LINES)]
        path.write_bytes(good)
    fault_tally.add("damage: flight record", len(damages))


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("damage", REPLACEMENTS, ids=str)
def test_what_stands_in_a_segment_s_place_is_named_and_the_others_are_read(
    record: Path, name: str, damage: Damage, fault_tally: FaultTally
) -> None:
    damage.act(record / name)
    place = SEGMENTS.index(name)
    others = [n for n in range(3 * LINES) if n // LINES != place]
    reader = RecordReader(record)
    assert numbers(reader) == others
    assert reader.first_damaged is not None
    assert reader.first_damaged.path == record / name
    followed = reader.follow(clock=SystemClock(), stopped=lambda: True)
    assert list(followed) == []
    assert reader.damaged_lines == 1
    fault_tally.add("damage: flight record", 1)


@pytest.mark.parametrize(
    "damage", [*REPLACEMENTS, EMPTIED, *of_content(900, random.Random(4), each=2)], ids=str
)
def test_the_recorder_goes_on_beside_what_it_finds(
    record: Path, damage: Damage, fault_tally: FaultTally
) -> None:
    damage.act(record / SEGMENTS[-1])
    foreign = record / f"{SEGMENTS[-1]}.elsewhere"
    before = foreign.read_bytes() if foreign.exists() else None
    recorder = JsonLinesRecorder(record, clock=SystemClock())
    for number in range(1000, 1010):
        recorder.record(event(number))
    recorder.close()
    assert recorder.status().dropped == 0
    assert [number for number in numbers(RecordReader(record)) if number >= 1000] == list(range(1000, 1010))
    assert before == (foreign.read_bytes() if foreign.exists() else None)
    fault_tally.add("damage: flight record", 1)


@pytest.mark.parametrize(
    "act", [REMOVED.act, lambda path: shutil.rmtree(path.parent)], ids=["file", "folder"]
)
def test_a_segment_that_is_removed_while_it_is_written_costs_what_was_in_it(
    record: Path, act: Callable[[Path], None], fault_tally: FaultTally
) -> None:
    recorder = JsonLinesRecorder(record, clock=SystemClock(), sync_interval_s=0.01, retry_interval_s=0.01)
    pause = threading.Event()
    recorder.record(event(1000))
    while recorder.status().written < 1:
        pause.wait(0.01)
    act(record / SEGMENTS[-1])
    number = 1000
    while recorder.status().failures == 0:
        number += 1
        recorder.record(event(number))
        pause.wait(0.01)
    for kept in range(2000, 2010):
        recorder.record(event(kept))
    recorder.close()
    assert list(range(2000, 2010)) == [n for n in numbers(RecordReader(record)) if n >= 2000]
    fault_tally.add("damage: flight record", 1)


@pytest.mark.parametrize("name", ["pipe", "endless device", "folder", "mode"])
def test_the_command_says_what_it_passed_over(record: Path, name: str) -> None:
    path = record / SEGMENTS[1]
    if name == "mode":
        path.chmod(0)
    else:
        found = [damage for damage in REPLACEMENTS if damage.name == name]
        if not found:
            pytest.skip("only root can make a device")
        found[0].act(path)
    shown = aerotile_record(record.parent)
    assert SEGMENTS[1] in shown.stderr
    assert shown.stderr.count("\n") == 1
    if name != "mode":
        assert shown.returncode == 0
        assert shown.stdout.count("\n") == 2 * LINES
    else:
        assert shown.returncode == 1
        assert "Permission denied" in shown.stderr
    path.chmod(0o700)


def test_a_record_may_be_given_as_one_file_behind_a_link(record: Path, tmp_path: Path) -> None:
    link = tmp_path / "last-flight.jsonl"
    link.symlink_to(record / SEGMENTS[0])
    assert numbers(RecordReader(link)) == list(range(LINES))
    LINK_TO_COPY.act(record / SEGMENTS[0])
    assert numbers(RecordReader(record)) == list(range(LINES, 3 * LINES))
