"""A process that does the whole job of a flight over and over, and notes what it holds meanwhile.

Usage: flight_soak.py ROOT DSN PROVIDER_URL TOKEN SECONDS SAMPLES [leak | neighbour]. Appends a line of JSON
to the file SAMPLES many times: operations done, and memory, descriptors, mappings, threads and sockets held.
Of memory it notes what the process has from the kernel, and what of that is in use, which allocators alone
know: how many blocks Python's has given out, and how many KiB the C library's.
It rests longer than it works, so that it takes less than half a core.

With `leak` it leaks on purpose: a descriptor and a connection every 1,000 operations, a mapping every 500,
and 1 KiB with each; it does not rest, and ends after 15,000 operations. With `neighbour` it is another
process, which writes and deletes tiles of the same store until its input ends, and notes nothing.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import mmap
import os
import random
import select
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import attrs
import numpy as np
import psycopg
from self_describing_tiles import check, tile_of

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.sections import BudgetConfig, LruConfig, ReadsConfig, RecordConfig
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig, UploadConfig
from aerotile.domain.errors import DuplicateTileError, OnboardRoomExhaustedError, TileNotFoundError
from aerotile.domain.find_tiles import find_tiles
from aerotile.domain.ports.tile_store import SupportsLocalReads
from aerotile.domain.values.disk_usage import footprint
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource
from aerotile.domain.values.upload_reports import BatchOutcome, UploadRequest

ZOOM = 12
PLACES = 600
TILE_BYTES = 2_000
ROOM = 300
"""Tiles that the budget leaves room for: half of what is written."""
DIMENSION, INDEXED = 32, 200
EVERYWHERE = Bbox(-85.0, -180.0, 85.0, 180.0)
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
SEGMENT_BYTES, MOST_RECORD_BYTES = 1 << 20, 4 << 20
REST = 1.5
"""Seconds of rest for one of work."""
SAMPLES = 200
FEWEST_SAMPLES = 20
"""On a busy machine a flight goes on until so many are taken."""
LEAK_OPERATIONS = 15_000
WARM_UP_ROUNDS = 10
"""Of everything, before the first sample."""


def settings(root: Path, dsn: str, url: str, token: str) -> AerotileConfig:
    return AerotileConfig(
        root=root,
        database=DatabaseConfig(dsn=Secret(dsn), connect_timeout_s=30.0),
        budget=BudgetConfig(max_bytes=ROOM * footprint(TILE_BYTES), eviction_batch_size=8),
        reads=ReadsConfig(max_mappings=100, deadline_s=30.0, release_interval_s=0.2),
        lru=LruConfig(flush_interval_s=0.5, flush_entries=200),
        record=RecordConfig(segment_bytes=SEGMENT_BYTES, max_total_bytes=MOST_RECORD_BYTES),
        upload=UploadConfig(url=url, token=Secret(token), parallel_requests=2),
    )


@attrs.define(slots=False)
class Flight:
    """One aircraft; every method is a part of the job and returns how many operations it was."""

    runtime: Runtime
    chance: random.Random = attrs.field(factory=lambda: random.Random(11))
    made: int = 0

    def some_place(self) -> TileId:
        return TileId(ZOOM, self.chance.randrange(PLACES), 700, TileSource.IMPORTED)

    def read(self) -> int:
        for _ in range(60):
            tile_id = self.some_place()
            try:
                if self.chance.random() < 0.2:
                    check(tile_id, self.runtime.tile_store.read_tile_bytes(tile_id))
                else:
                    with self.runtime.tile_store.read_tile_pixels(tile_id) as handle:
                        check(tile_id, bytes(handle))
            except TileNotFoundError:
                pass
            self.runtime.tile_store.verdict(tile_id)
        return 120

    def look_around(self) -> int:
        store = self.runtime.tile_store
        assert isinstance(store, SupportsLocalReads)
        return len(store.query_by_bbox(EVERYWHERE, ZOOM)[:20])

    def search(self) -> int:
        for _ in range(5):
            descriptor = self._descriptors()[self.chance.randrange(INDEXED)]
            for found in find_tiles(
                descriptor, 5, index=self.runtime.descriptor_index, store=self.runtime.tile_store
            ):
                check(found.tile_id, bytes(found.pixels))
                found.pixels.close()
        return 5

    def write(self) -> int:
        for _ in range(3):
            self._write(self.some_place())
        batch = self.chance.sample(range(PLACES), 6)
        self.runtime.tile_store.write_tiles([self._tile(attrs.evolve(self.some_place(), x=x)) for x in batch])
        return 9

    def make_tile(self) -> int:
        """A tile of the aircraft, which stays until it is uploaded."""
        self.made += 1
        # Few folders: up to 65,536 of them a process may remember, which takes its time to become level.
        try:
            self._write(TileId(ZOOM, self.made % 64, self.made // 64 % 4096, TileSource.ONBOARD, FLIGHT))
        except OnboardRoomExhaustedError:  # the map fills the budget, and onboard tiles never evict it
            self.delete()
        return 1

    def delete(self) -> int:
        with suppress(TileNotFoundError):
            self.runtime.tile_store.delete_tile(self.some_place())
        return 1

    def upload(self) -> int:
        report = self.runtime.tile_uploader().upload_pending_tiles(UploadRequest())
        assert report.outcome is BatchOutcome.SUCCESS, report
        return 1

    def reopen_index(self) -> int:
        with Runtime(self.runtime.config) as other:
            other.descriptor_index.search(self._descriptors()[0], 3)
        return 1

    def build_index(self) -> int:
        tile_ids = [TileId(ZOOM, x, 700, TileSource.IMPORTED) for x in range(INDEXED)]
        self.runtime.index_builder.rebuild(
            tile_ids, self._descriptors(), descriptor_model="soak", built_at=datetime.now(timezone.utc)
        )
        return 1

    def _descriptors(self) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return np.random.default_rng(1).random((INDEXED, DIMENSION)).astype(np.float32)

    def _tile(self, tile_id: TileId) -> tuple[bytes, TileMetadata]:
        return tile_of(tile_id, self.chance.getrandbits(60), size=TILE_BYTES - 100)

    def _write(self, tile_id: TileId) -> None:
        with suppress(DuplicateTileError):
            self.runtime.tile_store.write_tile(*self._tile(tile_id))


def schedule(flight: Flight) -> list[tuple[int, Callable[[], int]]]:
    """What is done every how many rounds."""
    return [
        (1, flight.read),
        (1, flight.look_around),
        (1, flight.search),
        (1, flight.write),
        (2, flight.make_tile),
        (3, flight.delete),
        (10, flight.reopen_index),
        (12, flight.upload),
        (60, flight.build_index),
    ]


class Leaks:
    """Leaks on purpose, to see that they are found."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._kept: list[object] = []
        self._grown = 0

    def grow(self, operations: int) -> None:
        for operation in range(self._grown, operations):
            self._kept.append(os.urandom(1024))
            if operation % 500 == 0:
                # Each with other rights than the one before, or the kernel takes neighbours for one mapping.
                rights = mmap.PROT_READ | (mmap.PROT_WRITE if operation % 1000 else 0)
                self._kept.append(mmap.mmap(-1, 4096, prot=rights))
            if operation % 1000 == 0:
                self._kept.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
                self._kept.append(psycopg.connect(self._dsn, autocommit=True))
        self._grown = operations


class MallocFacts(ctypes.Structure):
    """What glibc's `mallinfo2` returns, of all arenas together."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def malloc_bytes() -> int:
    """What the C library's allocator has given out and not got back."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = MallocFacts
    facts = mallinfo()
    return int(facts.uordblks + facts.hblkhd)


def sample(runtime: Runtime, operations: int) -> dict[str, int]:
    """What this process holds now."""
    gc.collect()
    memory = {}
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, amount = line.partition(":")
        if name in ("Rss", "Anonymous"):
            memory[name] = int(amount.split()[0])
    descriptors = [_target(path) for path in Path("/proc/self/fd").iterdir()]
    mapped = Path("/proc/self/maps").read_text().splitlines()
    tiles = sum(str(runtime.config.tiles_folder) in line for line in mapped)
    record = runtime.config.record_folder
    return {
        "operations": operations,
        "python_blocks": sys.getallocatedblocks(),
        "malloc_kib": malloc_bytes() // 1024,
        "anonymous_kib": memory["Anonymous"],
        "resident_kib": memory["Rss"],
        "descriptors": len(descriptors),
        "sockets": sum(target.startswith("socket:") for target in descriptors),
        "tile_mappings": tiles,
        "other_mappings": len(mapped) - tiles,
        "threads": len(os.listdir("/proc/self/task")),  # noqa: PTH208 - names alone
        "record_bytes": sum(path.stat().st_size for path in record.iterdir()),
    }


def be_neighbour(config: AerotileConfig) -> None:
    """What another process does to the store, so that the one that is watched has something to follow."""
    with Runtime(config) as runtime:
        flight = Flight(runtime, random.Random(12))
        while not select.select([sys.stdin], [], [], 0.2)[0]:
            flight.write()
            flight.delete()


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that the folder was listed with, or another thread's
        return ""


def main() -> None:
    root, dsn, url, token, seconds, samples_path = sys.argv[1:7]
    config = settings(Path(root), dsn, url, token)
    # Evictions leave some lookups without a stored candidate, as it has to be here.
    logging.getLogger("aerotile.find").setLevel(logging.ERROR)
    if sys.argv[7:] == ["neighbour"]:
        be_neighbour(config)
    else:
        fly(config, float(seconds), Path(samples_path), Leaks(dsn) if sys.argv[7:] == ["leak"] else None)


def fly(config: AerotileConfig, seconds: float, samples: Path, leaks: Leaks | None) -> None:
    """The flight that is watched."""
    operations = rounds = samples_taken = 0
    with Runtime(config) as runtime, samples.open("w", encoding="ascii") as out:
        flight = Flight(runtime)
        flight.build_index()
        for _ in range(WARM_UP_ROUNDS):
            for _, part in schedule(flight):
                part()
        started = next_sample = time.monotonic()
        while time.monotonic() < started + seconds or samples_taken < FEWEST_SAMPLES:
            before = time.monotonic()
            rounds += 1
            for every, part in schedule(flight):
                if rounds % every == 0:
                    operations += part()
            if leaks is not None:
                leaks.grow(operations)
                if operations >= LEAK_OPERATIONS:
                    break
            if time.monotonic() >= next_sample:
                next_sample += seconds / SAMPLES
                out.write(json.dumps(sample(runtime, operations)) + "\n")
                out.flush()
                samples_taken += 1
            if leaks is None:
                time.sleep(REST * (time.monotonic() - before))


if __name__ == "__main__":
    main()
