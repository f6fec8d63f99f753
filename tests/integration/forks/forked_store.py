"""A process with an open store that makes others in one way of Python: forked_store.py PATTERN ROOT DSN

Each child makes every call of the store and prints a line of JSON; the parent prints the last line. `PATTERN`
is one of `PATTERNS`. No child may hang, change anything, or disturb its parent.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

import aerotile
from aerotile.adapters.composition import runtime_of
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.contracts.dataset_store import ORTHO
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata

sys.path.append(str(Path(__file__).parents[2]))
from store_sessions import BESIDE, other_sessions  # a script finds the tests' helpers there

MODEL = "a-network"
FLIGHT = uuid.UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")


def tile(x: int) -> tuple[bytes, aerotile.TileMetadata]:
    pixels = example_jpeg(hashlib.shake_128(str(x).encode()).digest(300))
    return pixels, example_metadata(
        aerotile.TileId(18, x, 90123, aerotile.TileSource.ONBOARD, FLIGHT),
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.59,
        voting_status=aerotile.VotingStatus.PENDING,
    )


def config_of(root: str, dsn: str) -> aerotile.AerotileConfig:
    return aerotile.AerotileConfig(
        root=Path(root),
        database=aerotile.DatabaseConfig(dsn=Secret(dsn) if dsn else None),
        upload=aerotile.UploadConfig(url="http://127.0.0.1:9", allow_plaintext=True, token=Secret("token")),
    )


class Parts:
    """What the factories open, with one tile stored and described."""

    def __init__(self, config: aerotile.AerotileConfig, x: int) -> None:
        self.config = config
        self.store = aerotile.build_tile_store(config)
        self.facts = aerotile.build_tile_metadata_store(config)
        self.index = aerotile.build_descriptor_index(config)
        self.uploader = aerotile.build_tile_uploader(config)
        self.recorder = aerotile.build_flight_recorder(config)
        self.datasets = aerotile.build_dataset_store(config)
        self.monitor = aerotile.build_health_monitor(config)
        self.pixels, self.metadata = tile(x)
        self.tile_id = self.metadata.tile_id
        self.store.write_tile(self.pixels, self.metadata)

    def describe(self) -> None:
        """Build the index, with FAISS's threads."""
        self.index.rebuild(
            [self.tile_id, *(tile(9_000 + row)[1].tile_id for row in range(63))],
            QUERIES,
            descriptor_model=MODEL,
            built_at=datetime.now(timezone.utc),
        )

    def calls(self) -> dict[str, Callable[[], Any]]:
        """Every call of what a flight stack holds, by name."""
        store, facts, now = self.store, self.facts, datetime.now(timezone.utc)
        new, other = tile(1_000), tile(1_001)
        return {
            "`read_tile_pixels`": lambda: (
                bytes(memoryview(store.read_tile_pixels(self.tile_id))) == self.pixels
            ),
            "`read_tile_bytes`": lambda: store.read_tile_bytes(self.tile_id) == self.pixels,
            "`tile_exists`": lambda: store.tile_exists(self.tile_id),
            "`verdict`": lambda: store.verdict(self.tile_id) is not None,
            "`query_by_bbox` of `TileStore`": lambda: len(store.query_by_bbox(self.tile_id.bbox, 18)) >= 1,
            "`search`": lambda: self.index.search(QUERIES[0], 1)[0].tile_id == self.tile_id,
            "`find_tiles`": lambda: (
                len(aerotile.find_tiles(QUERIES[0], 1, index=self.index, store=store)) == 1
            ),
            "`write_tile`": lambda: store.write_tile(*new),
            "`write_tiles`": lambda: store.write_tiles([new, other]),
            "`delete_tile`": lambda: store.delete_tile(self.tile_id),
            "`evict_tile`": lambda: store.evict_tile(self.tile_id),
            "`replace_tile`": lambda: store.replace_tile(*new),
            "`amend_capture_time`": lambda: store.amend_capture_time(self.tile_id, now),
            "`set_pinned`": lambda: facts.set_pinned(self.tile_id, True),
            "`pinned_tiles`": facts.pinned_tiles,
            "`get_by_id`": lambda: facts.get_by_id(self.tile_id),
            "`query_by_bbox`": lambda: facts.query_by_bbox(self.tile_id.bbox, 18),
            "`insert_metadata`": lambda: facts.insert_metadata(new[1]),
            "`update_voting_status`": lambda: facts.update_voting_status(
                self.tile_id, aerotile.VotingStatus.TRUSTED
            ),
            "`mark_uploaded`": lambda: facts.mark_uploaded(self.tile_id, now, self.metadata.content_sha256),
            "`pending_uploads`": lambda: facts.pending_uploads(9),
            "`record_lru_access`": lambda: facts.record_lru_access({self.tile_id: now}),
            "`lru_candidates`": lambda: facts.lru_candidates(9),
            "`total_disk_bytes`": facts.total_disk_bytes,
            "`increment_upload_attempts`": lambda: facts.increment_upload_attempts(self.tile_id),
            "`upload_pending_tiles`": lambda: self.uploader.upload_pending_tiles(aerotile.UploadRequest()),
            "`define`": lambda: self.datasets.define(ORTHO),
            "`amend` of `DatasetStore`": lambda: self.datasets.amend(ORTHO),
            "`find`": lambda: self.datasets.find(ORTHO.name),
            "`datasets`": self.datasets.datasets,
            "`health`": lambda: self.monitor.health() is not None,
            "`beat`": self.monitor.beat,
            "`record`": lambda: self.recorder.record(
                aerotile.FlightEvent(aerotile.EventKind.RECORDER_DROPPED, "forked", {"dropped": 1})
            ),
        }


QUERIES = np.eye(64, dtype=np.float32)


def outcome_of(call: Callable[[], Any]) -> str:
    """What a call answers in this process: `works`, or the name of its error."""
    try:
        answer = call()
    except Exception as error:  # noqa: BLE001 # the test compares its name
        return f"{type(error).__name__}: {error}"
    return "wrong" if answer is False else "works"


def say(outcomes: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(outcomes) + "\n")
    sys.stdout.flush()


def use(parts: Parts) -> None:
    """Make every call and say how each ended."""
    outcomes = {name: outcome_of(call) for name, call in parts.calls().items()}
    say(outcomes)


def use_and_build_again(parts: Parts, x: int) -> None:
    """Make every call, open a store of this process's own and write with that one."""
    use(parts)
    own = Parts(parts.config, x)
    assert own.store is not parts.store
    assert own.store.tile_exists(parts.tile_id)


def waited_for(child: int) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"a child ended with status {status}"


def fork(parts: Parts) -> None:
    """A child that ends without exit handlers."""
    if (child := os.fork()) == 0:
        use(parts)
        os._exit(0)
    waited_for(child)


def fork_and_exit(parts: Parts) -> None:
    """A child that closes what it was given and returns through the exit handlers, as pytest-forked may."""
    if (child := os.fork()) == 0:
        use(parts)
        parts.uploader.close() if hasattr(parts.uploader, "close") else None
        parts.index.close()
        aerotile.close_runtimes()
        sys.exit(0)
    waited_for(child)


def fork_and_build_again(parts: Parts) -> None:
    """A child that heeds the remedy."""
    if (child := os.fork()) == 0:
        use_and_build_again(parts, 2_000)
        sys.exit(0)
    waited_for(child)


def fork_beside_writers(parts: Parts) -> None:
    """Children forked while another thread of the parent writes and holds whatever locks that takes."""
    ended = threading.Event()

    def write() -> None:
        for x in itertools.count(5_000):
            if ended.is_set():
                return
            parts.store.write_tile(*tile(x))
            parts.store.delete_tile(tile(x)[1].tile_id)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        for _ in range(5):
            fork(parts)
        ended.set()
        writing.result()


def daemon(parts: Parts) -> None:
    """The double fork of a daemon, whose first child leaves at once."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.close(reading)
        use_and_build_again(parts, 2_000)
        sys.exit(0)  # closes its end of the pipe
    waited_for(child)
    os.close(writing)
    assert os.read(reading, 1) == b""


def prefork(parts: Parts) -> None:
    """A master that opened the store before its workers, as gunicorn does with `preload_app`."""
    workers = []
    for number in range(3):
        if (child := os.fork()) == 0:
            use_and_build_again(parts, 2_000 + number)
            sys.exit(0)
        workers.append(child)
    for child in workers:
        waited_for(child)
    deadline = time.monotonic() + 60
    while not all(parts.store.tile_exists(tile(2_000 + number)[1].tile_id) for number in range(3)):
        assert time.monotonic() < deadline, "the master does not follow what its workers write"
        time.sleep(0.01)


def in_process_of_multiprocessing(root: str, dsn: str) -> None:
    """What a new interpreter does: it opens a store of its own."""
    own = Parts(config_of(root, dsn), 2_000)
    assert own.store.tile_exists(tile(1)[1].tile_id)
    aerotile.close_runtimes()
    say({"own": "works"})


def multiprocessing_with(method: str) -> Callable[[Parts], None]:
    def run(parts: Parts) -> None:
        context = multiprocessing.get_context(method)
        if method == "fork":
            process = context.Process(target=use, args=(parts,))
        else:
            opened = [parts.store, parts.facts, parts.index, parts.recorder]
            started = [context.Process(target=use, args=(part,)).start for part in opened]
            say({type(part).__name__: outcome_of(start) for part, start in zip(opened, started, strict=True)})
            process = context.Process(target=in_process_of_multiprocessing, args=tuple(sys.argv[2:4]))
        process.start()
        process.join()
        assert process.exitcode == 0

    return run


PATTERNS: dict[str, Callable[[Parts], None]] = {
    "fork": fork,
    "fork_and_exit": fork_and_exit,
    "fork_and_build_again": fork_and_build_again,
    "fork_beside_writers": fork_beside_writers,
    "daemon": daemon,
    "prefork": prefork,
    **{
        f"multiprocessing_{method}": multiprocessing_with(method)
        for method in ("fork", "spawn", "forkserver")
    },
}


def main(pattern: str, root: str, dsn: str) -> None:
    config = config_of(root, dsn)
    parts = Parts(config, 1)
    parts.describe()
    dsn = runtime_of(config).dsn  # that of the embedded server where none was given
    before = sessions(dsn)
    PATTERNS[pattern](parts)
    after = sessions(dsn)
    pixels, metadata = tile(3)
    parts.store.write_tile(pixels, metadata)
    assert parts.store.read_tile_bytes(metadata.tile_id) == pixels
    say({"sessions": before <= after, "own": "works"})


def sessions(dsn: str) -> set[int]:
    """The server's processes that serve this one."""
    with psycopg.connect(dsn, application_name=BESIDE) as connection:
        return other_sessions(connection)


if __name__ == "__main__":
    main(*sys.argv[1:4])
