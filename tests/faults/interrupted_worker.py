"""A program whose alarm raises at random points of its calls: interrupted_worker.py ROOT DSN SEED INTERRUPTS

Prints a line of JSON with what the store confirmed, and what is left of the calls that were interrupted.
"""

from __future__ import annotations

import _thread
import faulthandler
import gc
import itertools
import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import TypeVar

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.values.shapes import Bbox
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

T = TypeVar("T")

CONNECTIONS = 2
WRITERS = 2
"""Other threads, so that calls wait for connections."""
BATCH = 40
CLOSINGS = 10
SHORTEST_S, LONGEST_S = 20e-6, 20e-3
HANGS_S = 220
"""Less than the test waits: then it says where each thread hangs."""
EVERYWHERE = Bbox(min_lat=-90.0, min_lon=-180.0, max_lat=90.0, max_lon=180.0)


class AlarmError(Exception):
    """What the signal's handler raises."""


class Program:
    """The program; its random numbers are those of one seed."""

    def __init__(self, config: AerotileConfig, seed: int) -> None:
        self.config = config
        self.chance = random.Random(seed)
        self.numbers = itertools.count()
        self.confirmed: dict[str, str] = {}
        self.known: list[TileId] = []
        self.interrupted: Counter[str] = Counter()
        self.is_armed = False

    def ring(self, number: int, frame: FrameType | None) -> None:
        """The signal's handler: another thread may receive the signal, and this one hears of it later."""
        if self.is_armed:
            self.is_armed = False
            raise AlarmError

    def interrupt(self, call: Callable[[], T]) -> T | None:
        """The call's result; None: the alarm rang first."""
        delay_s = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** self.chance.random()
        try:
            self.is_armed = True
            signal.setitimer(signal.ITIMER_REAL, delay_s)
            return call()
        except AlarmError:
            self.interrupted[call.__name__] += 1
            return None
        finally:
            self.is_armed = False

    def tile(self) -> tuple[bytes, TileMetadata]:
        number = next(self.numbers)
        pixels = example_jpeg(b"%d" % number)
        tile_id = TileId(18, number % 512, number // 512, TileSource.IMPORTED)
        taken = datetime.now(timezone.utc)
        return pixels, example_metadata(tile_id, pixels, captured_at=taken, ground_sample_distance=0.59)

    def confirm(self, written: Sequence[TileMetadata]) -> None:
        for tile in written:
            self.known.append(tile.tile_id)
            self.confirmed[str(tile.tile_id)] = tile.content_sha256

    def fly(self, runtime: Runtime, interrupts: int) -> None:
        """Calls of each kind until so many were interrupted, and of each kind that the test asks for one."""
        store = runtime.tile_store

        def write() -> list[TileMetadata]:
            return [store.write_tile(*self.tile())]

        def write_many() -> list[TileMetadata]:
            outcomes = store.write_tiles([self.tile() for _ in range(BATCH)])
            return [outcome.stored for outcome in outcomes if outcome.stored is not None]

        def read() -> list[TileMetadata]:
            store.read_tile_pixels(self.chance.choice(self.known))
            return []

        def search() -> list[TileMetadata]:
            assert len(store.query_by_bbox(EVERYWHERE, 18)) >= len(self.known)
            return []

        self.confirm(write())
        kinds = {"write", "write_many", "read"}
        while self.interrupted.total() < interrupts or not kinds <= self.interrupted.keys():
            self.confirm(self.interrupt(self.chance.choice([write, write, write_many, read, search])) or ())

    def leave(self) -> None:
        """Open and close the store, interrupted in closing it."""

        def close() -> bool:
            runtime.close()
            return True

        with Runtime(self.config) as runtime:
            self.confirm([runtime.tile_store.write_tile(*self.tile())])
            self.interrupt(close)


def threads_beside() -> int:
    """Threads of Python besides the main one."""
    return _thread._count()


def fly(program: Program, interrupts: int) -> dict[str, object]:
    """Fly beside other threads; what the interrupted calls left behind in the store."""
    with Runtime(program.config) as runtime:
        store, is_over = runtime.tile_store, threading.Event()
        beside = [[program.tile() for _ in range(2000)] for _ in range(WRITERS)]
        confirmed: list[TileMetadata] = []

        def write_beside(tiles: Sequence[tuple[bytes, TileMetadata]]) -> None:
            for pixels, metadata in tiles:
                if is_over.is_set():
                    return
                confirmed.append(store.write_tile(pixels, metadata))

        writers = [threading.Thread(target=write_beside, args=(tiles,)) for tiles in beside]
        for writer in writers:
            writer.start()
        try:
            program.fly(runtime, interrupts)
        finally:
            is_over.set()
            for writer in writers:
                writer.join()
        program.confirm(confirmed)
        program.confirm([store.write_tile(*program.tile()) for _ in range(2 * CONNECTIONS)])
        for tile_id in program.known:
            store.read_tile_pixels(tile_id)
        gc.collect()  # what is interrupted in a cycle of references
        enforcer = runtime.budget_enforcer
        return {
            "reserved": enforcer._reserved_bytes(),
            "changing": len(store._sync._changes),
        }


def main() -> None:
    root, dsn, seed, interrupts = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    config = AerotileConfig(root=root, database=DatabaseConfig(dsn=Secret(dsn), pool_max_size=CONNECTIONS))
    program = Program(config, seed)
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    signal.signal(signal.SIGALRM, program.ring)
    left = fly(program, interrupts)
    for _ in range(CLOSINGS):
        program.leave()
    gc.collect()  # some threads end with their store
    deadline = time.monotonic() + 60
    while threads_beside() and time.monotonic() < deadline:
        time.sleep(0.01)
    left["threads"] = threads_beside()
    if left["threads"]:
        faulthandler.dump_traceback()  # where they are
    json.dump({"confirmed": program.confirmed, "interrupted": program.interrupted, "left": left}, sys.stdout)


if __name__ == "__main__":
    main()
