"""One of several processes that do everything to one store at once, from several threads, until told to stop.

Usage: mixed_worker.py ROOT DSN NUMBER BUDGET_BYTES. Prints `ready`, then `kept TILE SHA256` after the store
confirmed a tile that nobody may evict, `freed TILE` before that is taken back, and `did THING` when it has
done a thing for the first time; it ends at the end of its input. A thread that gets nothing done for a minute
is taken for stuck: all stacks are printed, and the process ends at once.
"""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt
from self_describing_tiles import check, tile_of

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.sections import BudgetConfig, LruConfig, ReadsConfig
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.domain.errors import (
    DuplicateTileError,
    IndexBuildError,
    IndexUnavailableError,
    NotNewerError,
    OnboardRoomExhaustedError,
    TileNotFoundError,
)
from aerotile.domain.store.repair import repair
from aerotile.domain.store.verify import verify_store
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource

PLACES = 150
ZOOM = 10
EVERYWHERE = Bbox(-85.0, -180.0, 85.0, 180.0)
MOST_KEPT = 30
"""Tiles that nobody may evict, of all processes: they must not fill the budget."""
HELD = 20
DIMENSION = 8
INDEXED = 40
STUCK_AFTER_S = 60.0


def say(line: str) -> None:
    # One write for a line: what was said is said, whatever happens next.
    os.write(1, f"{line}\n".encode())


def indexed(place: int) -> tuple[TileId, npt.NDArray[np.float32]]:
    """A tile of the descriptor index and its descriptor, the same in every generation."""
    return (
        TileId(ZOOM, place, 502, TileSource.IMPORTED),
        np.random.default_rng(place).random(DIMENSION).astype(np.float32),
    )


@attrs.define(slots=False)
class Worker:
    """What one process does; each method that begins with `do_` is a deed that a thread repeats."""

    runtime: Runtime
    number: int
    chance: random.Random
    count: int = 0
    held: deque[tuple[TileId, TilePixelHandle]] = attrs.field(factory=deque)

    def place(self) -> TileId:
        return TileId(ZOOM, self.chance.randrange(PLACES), 500, TileSource.IMPORTED)

    def some_tile(self) -> TileId:
        known = self.runtime.tile_store.query_by_bbox(EVERYWHERE, ZOOM)
        return known[self.chance.randrange(len(known))].tile_id if len(known) else self.place()

    def do_write(self) -> None:
        pixels, metadata = tile_of(
            self.place(), self.chance.getrandbits(60), size=self.chance.randrange(500, 3000)
        )
        self.runtime.tile_store.write_tile(pixels, metadata)

    def do_write_batch(self) -> None:
        places = self.chance.sample(range(PLACES), 8)
        batch = [
            tile_of(TileId(ZOOM, x, 500, TileSource.IMPORTED), self.chance.getrandbits(60), size=1000)
            for x in places
        ]
        for outcome in self.runtime.tile_store.write_tiles(batch):
            if outcome.error is not None and not isinstance(outcome.error, DuplicateTileError):
                raise outcome.error

    def do_keep(self) -> None:
        """A tile of the aircraft: it exists only here until it is uploaded."""
        self.count += 1
        if len(self.runtime.metadata_store.pending_uploads(MOST_KEPT)) < MOST_KEPT:
            flight = UUID(int=self.number + 1, version=4)
            pixels, metadata = tile_of(
                TileId(ZOOM, self.count % 1000, 501, TileSource.ONBOARD, flight), self.count, size=800
            )
            try:
                self.runtime.tile_store.write_tile(pixels, metadata)
            except OnboardRoomExhaustedError:  # the map fills the budget, and onboard tiles never evict it
                self.do_delete()
            else:
                say(f"kept {metadata.tile_id} {metadata.content_sha256}")

    def do_mark_uploaded(self) -> None:
        pending = self.runtime.metadata_store.pending_uploads(MOST_KEPT)
        if len(pending) > MOST_KEPT // 2:
            tile = self.chance.choice(pending)
            say(f"freed {tile.tile_id}")
            now = datetime.now(timezone.utc)
            self.runtime.metadata_store.mark_uploaded(tile.tile_id, now, tile.content_sha256)

    def do_replace(self) -> None:
        pixels, metadata = tile_of(self.place(), self.chance.getrandbits(60), size=5000)
        self.runtime.tile_store.replace_tile(pixels, metadata)

    def do_delete(self) -> None:
        self.runtime.tile_store.delete_tile(self.place())

    def do_read(self) -> None:
        """Read a tile and check every byte; now and then hold it, and check it again much later."""
        tile_id = self.some_tile()
        if self.chance.random() < 0.3:
            check(tile_id, self.runtime.tile_store.read_tile_bytes(tile_id))
            return
        handle = self.runtime.tile_store.read_tile_pixels(tile_id)
        check(tile_id, bytes(handle))
        self.held.append((tile_id, handle))
        if len(self.held) > HELD:
            former_id, former = self.held.popleft()
            check(former_id, bytes(former))
            former.close()

    def do_reopen(self) -> None:
        """Open the store anew beside the one that is open: reconciles files and rows."""
        with Runtime(self.runtime.config) as again:
            known = again.tile_store.query_by_bbox(EVERYWHERE, ZOOM).tile_ids()
            for tile_id in self.chance.sample(known, min(5, len(known))):
                check(tile_id, again.tile_store.read_tile_bytes(tile_id))

    def do_verify(self) -> None:
        runtime = self.runtime
        for finding in verify_store(runtime.rows, runtime.files):
            assert not repair(finding, runtime.rows, runtime.files, runtime.recorder).fetch_again, finding

    def do_search(self) -> None:
        tile_id, descriptor = indexed(self.chance.randrange(INDEXED // 2))
        assert self.runtime.descriptor_index.search(descriptor, 3)[0].tile_id == tile_id

    def do_build(self) -> None:
        index = self.runtime.index_builder
        if self.chance.random() < 0.5:
            index.rollback()
            return
        pairs = [indexed(place) for place in range(self.chance.randrange(INDEXED // 2, INDEXED))]
        index.rebuild(
            [tile_id for tile_id, _ in pairs],
            np.stack([descriptor for _, descriptor in pairs]),
            descriptor_model="mixed",
            built_at=datetime.now(timezone.utc),
        )
        assert index.search(pairs[0][1], 1)[0].tile_id == pairs[0][0]


EXPECTED: dict[str, tuple[type[Exception], ...]] = {
    "write": (DuplicateTileError,),
    "write_batch": (),
    "replace": (TileNotFoundError, NotNewerError),
    "keep": (DuplicateTileError, TileNotFoundError),
    "mark_uploaded": (TileNotFoundError,),  # another process freed it first, and it was evicted
    "delete": (TileNotFoundError,),
    "read": (TileNotFoundError,),
    "reopen": (TileNotFoundError,),
    "verify": (),
    "search": (),
    "build": (IndexBuildError, IndexUnavailableError),  # another one is at work; there is none to go back to
}
"""What a deed may meet because others are at work too. Everything else is a fault."""
PAUSES_S = {
    "write": 0.0,
    "write_batch": 0.0,
    "replace": 0.002,
    "delete": 0.005,
    "keep": 0.05,
    "mark_uploaded": 0.05,
    "read": 0.001,
    "reopen": 0.3,
    "verify": 0.2,
    "search": 0.01,
    "build": 0.3,
}
"""Between two deeds of a thread. Those that need no disk would keep the interpreter's lock to themselves."""


class Threads:
    """A thread for each deed, and the watch over them."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._seen: dict[str, float] = {}
        self._threads: list[threading.Thread] = []

    def start(self, name: str, deed: Callable[[], None], pause_s: float) -> None:
        self._seen[name] = time.monotonic()
        thread = threading.Thread(target=self._repeat, args=(name, deed, pause_s), name=name)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, name: str, deed: Callable[[], None], pause_s: float) -> None:
        is_done = False
        try:
            while not self.stopping.wait(pause_s):
                try:
                    deed()
                    if not is_done:
                        say(f"did {name}")
                        is_done = True
                except EXPECTED[name]:
                    pass
                self._seen[name] = time.monotonic()
        except BaseException:  # noqa: BLE001 - whatever it is, it fails the test
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(4)
        self._seen[name] = float("inf")

    def watch(self) -> None:
        """End the process with every stack on its standard error when a thread is stuck."""
        while any(thread.is_alive() for thread in self._threads):
            late = [name for name, seen in self._seen.items() if time.monotonic() - seen > STUCK_AFTER_S]
            if late:
                sys.stderr.write(f"stuck: {', '.join(late)}\n")
                faulthandler.dump_traceback(all_threads=True)
                os._exit(3)
            time.sleep(0.2)


def main() -> None:
    root, dsn, number, budget_bytes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    config = AerotileConfig(
        root=root,
        database=DatabaseConfig(dsn=Secret(dsn), pool_max_size=6, connect_timeout_s=30.0),
        budget=BudgetConfig(max_bytes=budget_bytes, eviction_batch_size=4),
        reads=ReadsConfig(max_mappings=64, deadline_s=0.0),
        lru=LruConfig(flush_interval_s=0.2, flush_entries=50),
    )
    faulthandler.enable()  # whoever finds this process stuck sends it SIGABRT
    threads = Threads()
    with Runtime(config) as runtime:
        worker = Worker(runtime, number, random.Random(number))
        assert runtime.tile_store is not None
        assert runtime.descriptor_index is not None
        assert runtime.index_builder is not None
        say("ready")
        for name in EXPECTED:
            threads.start(name, getattr(worker, f"do_{name}"), PAUSES_S[name])
        watch = threading.Thread(target=threads.watch, name="watch", daemon=True)
        watch.start()
        sys.stdin.read()
        threads.stopping.set()
        watch.join()


if __name__ == "__main__":
    main()
