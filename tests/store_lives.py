"""Processes that have a store open while the power goes, and what they promised until then.

What a process says, a line at a time:

    w TILE SHA256    about to be written
    + TILE SHA256    written             ? TILE SHA256    about to be deleted or evicted
    u TILE SHA256    marked as uploaded  - TILE SHA256    deleted or evicted
    b MODEL          index to be built   i MODEL          index built
    x ERROR          something failed
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest
from block_devices import Device
from psycopg.conninfo import make_conninfo
from store_facts import Audit, Files, Rows, index_in_use

WORKER = Path(__file__).parent / "faults" / "power_cut_worker.py"
PIPE_BYTES = 1 << 20
HANG_S = 120.0

Tile = tuple[str, str]
"""Its name and the SHA-256 of its content: one life of a tile."""


def tile_of(text: str) -> Tile:
    name, sha256 = text.split(" ")
    return name, sha256


@attrs.define
class Promised:
    """What a store has confirmed until now, over all its lives."""

    begun: set[Tile] = attrs.field(factory=set)
    stored: set[Tile] = attrs.field(factory=set)
    removed: set[Tile] = attrs.field(factory=set)
    doubtful: set[Tile] = attrs.field(factory=set)
    """Whose removal was under way."""
    uploaded: set[Tile] = attrs.field(factory=set)
    models: list[str | None] = attrs.field(factory=lambda: [None])
    """Of the index's newest generation, and of those whose build was under way."""

    @property
    def certain(self) -> set[Tile]:
        """What must be there."""
        return self.stored - self.doubtful - self.removed

    def hear(self, lines: Iterable[str], *, before_the_cut: bool = True) -> None:
        """Take a worker's lines. After the cut, only what it was about to do says anything."""
        for line in lines:
            if line.startswith("{"):  # it was cut while it said what it had opened
                continue
            what, _, rest = line.partition(" ")
            if what == "w":
                self.begun.add(tile_of(rest))
            elif what == "?":
                self.doubtful.add(tile_of(rest))
            elif what == "b":
                self.models.append(rest)
            elif not before_the_cut:
                continue
            elif what == "i":
                self.models = [rest]
            elif what == "x":
                pytest.fail(f"with power on: {rest}")
            else:
                {"+": self.stored, "-": self.removed, "u": self.uploaded}[what].add(tile_of(rest))

    def settle(self, rows: Rows) -> None:
        """What was in doubt is what the rows say, from now on for good."""
        there = {(name, row.content_sha256) for name, row in rows.tiles.items()}
        self.removed |= self.doubtful - there
        self.stored = there
        self.doubtful.clear()


@contextmanager
def _from_here(dsn: str, root: Path) -> Iterator[str]:
    """The address of a store's embedded database; a socket with a long path is named by each process anew."""
    folder = os.open(root / "postgres", os.O_PATH | os.O_DIRECTORY)
    try:
        yield make_conninfo(dsn, host=f"/proc/self/fd/{folder}/run")
    finally:
        os.close(folder)


@attrs.frozen
class Damage:
    """What does not hold after a cut."""

    lost: list[str] = attrs.field(factory=list)
    torn: list[str] = attrs.field(factory=list)
    leaked: list[str] = attrs.field(factory=list)

    def __bool__(self) -> bool:
        return any(attrs.astuple(self))

    @classmethod
    def of(cls, root: Path, opened: dict[str, Any], promised: Promised) -> Damage:
        """Compare what was promised, what the rows and files are, and what the store says of itself."""
        with _from_here(opened["dsn"], root) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
            rows = Rows.read(connection)
        audit = Audit.between(rows, Files.read(root / "tiles"))
        there = {(name, row.content_sha256): row for name, row in rows.tiles.items()}
        damage = cls(
            lost=[
                *audit.lost,
                *(
                    f"{name} was confirmed"
                    for name, sha256 in promised.certain
                    if (name, sha256) not in there
                ),
                *(f"{t[0]} was marked" for t in promised.uploaded if t in there and not there[t].uploaded),
                *(f"{count} files are missing" for count in [opened["files_missing"]] if count),
                *damage_of_index(root, opened["model"], promised),
            ],
            torn=[*audit.torn, *opened["unreadable"], *opened["findings"]],
            leaked=[
                *audit.leaked,
                *([] if audit.total_is_exact else [f"{audit.total} bytes counted, not {audit.sum_of_rows}"]),
                *(f"{name} was deleted" for name, sha256 in promised.removed if (name, sha256) in there),
                *(f"{count} files stay" for count in [opened["left_for_later"]] if count),
                *(
                    f"{taken} bytes"
                    for taken in [rows.usage.footprint_bytes]
                    if taken > opened["budget_bytes"]
                ),
            ],
        )
        promised.settle(rows)
        return damage


def damage_of_index(root: Path, opened_model: str, promised: Promised) -> list[str]:
    """The index generation that is not in use though it should be, or is in use and not whole."""
    try:
        model = index_in_use(root / "index")
    except (AssertionError, OSError) as error:
        return [f"index: {error}"]
    if model not in promised.models:
        return [f"index {model} is in use, and not one of {promised.models}"]
    if model is not None and model != opened_model:
        return [f"index {model} is in use, and {opened_model} was opened"]
    promised.models = [model]
    return []


@attrs.frozen
class Life:
    """A process that has the store open, or is about to."""

    process: subprocess.Popen[bytes]
    complaints: Path

    @classmethod
    @contextmanager
    def begin(cls, root: Path, seed: int, complaints: Path, fsync: str) -> Iterator[Life]:
        """Start the process; at the end it is killed, unless it ended by itself."""
        command = [sys.executable, str(WORKER), str(root), str(seed), fsync]
        with (
            complaints.open("wb") as errors,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd="/",
                bufsize=0,
            ) as process,
        ):
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            try:
                yield cls(process, complaints)
            finally:
                process.kill()

    def heard(self, patience_s: float) -> list[str]:
        """The lines that it has said since the last call; waits for the first one."""
        if not select.select([self.process.stdout], [], [], patience_s)[0]:
            return []
        # What it writes is never parted: a line is one write, and shorter than a pipe takes at once.
        return self.process.stdout.read(PIPE_BYTES).decode().splitlines()

    def opened(self) -> dict[str, Any] | None:
        """Wait until the store is open; what it says of it, or None when it can't be opened."""
        lines = self.heard(HANG_S)
        facts: dict[str, Any] | None = json.loads(lines[0]) if lines else None
        return facts

    def damage(self, root: Path, promised: Promised) -> Damage:
        """Wait until the store is open, and look at it."""
        opened = self.opened()
        if opened is None:
            return Damage(lost=[f"the store can't be opened: {self.complaints.read_text()}"])
        return Damage.of(root, opened, promised)

    def tell(self, what: str) -> None:
        self.process.stdin.write(f"{what}\n".encode())

    def cut(self, device: Device, promised: Promised) -> None:
        """Cut the power, and plug the device in again."""
        promised.hear(self.heard(0))
        device.cut_power()
        self.process.kill()
        device.kill_residents()
        promised.hear(self.heard(HANG_S), before_the_cut=False)
        self.process.wait(HANG_S)
        device.kill_residents()  # a server that was on its way while its parent died
        device.unplug()
        device.plug_in()

    def end(self) -> None:
        """Wait until the process has closed the store in order."""
        self.tell("stop")
        assert self.process.wait(HANG_S) == 0, self.complaints.read_text()
