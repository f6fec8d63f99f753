"""A flight that reads, searches, writes and deletes all along, and is held to what it told its callers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

import attrs
import numpy as np
from audited_store import BASE, Auditor, Reading, eventually, imported, tile
from fault_tally import FaultTally
from own_server import OwnServer, processes_of

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.sections import LruConfig
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.domain.errors import CommitOutcomeUnknownError, DuplicateTileError, StoreUnavailableError
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId

CALL_S = 60.0
"""No call may take longer, whatever the server does: a multiple of all that the settings below allow."""
EVERYWHERE = Bbox(-85.0, -180.0, 85.0, 180.0)
SETTINGS = DatabaseConfig(pool_max_size=4, connect_timeout_s=2.0, statement_timeout_s=2.0)


class Writing:
    """Threads that write and delete, and remember what they were told."""

    def __init__(self, runtime: Runtime) -> None:
        self._store = runtime.tile_store
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.stored: set[str] = set()
        self.removed: set[str] = set()
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self.refusals = 0
        self.failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(work, number), daemon=True)
            for number, work in enumerate((self._write, self._write_batch, self._write_and_delete), start=1)
        ]

    def __enter__(self) -> Writing:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert self.failure is None, repr(self.failure)

    def expect_progress(self) -> None:
        """Wait until each thread's work succeeds again."""
        before = len(self.stored)
        eventually("nothing can be written", lambda: len(self.stored) > before + 20 or not self._is_well())
        assert self.failure is None, repr(self.failure)

    def expect_refusals(self) -> None:
        before = self.refusals
        eventually("no write fails", lambda: self.refusals > before + 1 or not self._is_well())
        assert self.failure is None, repr(self.failure)

    def _is_well(self) -> bool:
        return self.failure is None

    def _run(self, work: Callable[[list[TileId]], None], number: int) -> None:
        x = 100_000 * number // 2
        while not self._over.wait(0.005) and self.failure is None:
            tile_ids = [imported(x + place) for place in range(3)]
            x += 3
            started = time.monotonic()
            try:
                work(tile_ids)
            except BaseException as error:  # noqa: BLE001 # told to the test's own thread
                self.failure = error
            if time.monotonic() - started > CALL_S:
                self.failure = AssertionError("a call took too long")

    def _write(self, tile_ids: list[TileId]) -> None:
        for tile_id in tile_ids:
            with self._told([tile_id]):
                self._store.write_tile(*tile(tile_id))

    def _write_batch(self, tile_ids: list[TileId]) -> None:
        with self._told(tile_ids):
            for outcome in self._store.write_tiles([tile(tile_id) for tile_id in tile_ids]):
                if outcome.error is not None:
                    raise outcome.error

    def _write_and_delete(self, tile_ids: list[TileId]) -> None:
        tile_id = tile_ids[0]
        with self._told([tile_id]):
            self._store.write_tile(*tile(tile_id))
        if str(tile_id) in self.stored:
            with self._told([tile_id], removing=True):
                self._store.delete_tile(tile_id)

    @contextmanager
    def _told(self, tile_ids: list[TileId], *, removing: bool = False) -> Iterator[None]:
        names = {str(tile_id) for tile_id in tile_ids}
        try:
            yield
        except CommitOutcomeUnknownError:
            self._note(self.unknown, names, refused=True)
            self.stored -= names
        except StoreUnavailableError:
            self._note(self.stored if removing else self.refused, names, refused=True)
        else:
            self._note(self.removed if removing else self.stored, names)
            if removing:
                self.stored -= names

    def _note(self, told: set[str], names: set[str], *, refused: bool = False) -> None:
        with self._lock:
            told |= names
            self.refusals += refused


@attrs.frozen
class Flight:
    """A store in use, and who looks at it from outside."""

    runtime: Runtime
    auditor: Auditor
    reading: Reading
    writing: Writing
    postgres: Path

    @property
    def processes(self) -> list[int]:
        pid_file = self.postgres / "cluster" / "postmaster.pid"
        return processes_of(int(pid_file.read_text().split("\n")[0]))

    def expect_recovery(self) -> None:
        """Writes succeed, and what others write is heard of."""
        self.writing.expect_progress()
        other = imported(200_000 + len(self.writing.stored))
        config = attrs.evolve(
            self.runtime.config, database=attrs.evolve(SETTINGS, dsn=Secret(self.auditor.dsn))
        )

        def written() -> bool:
            with suppress(StoreUnavailableError), Runtime(config) as runtime:
                with suppress(DuplicateTileError):
                    runtime.tile_store.write_tile(*tile(other))
                return True
            return False

        eventually("no other process can write", written)
        eventually("others are not heard of", lambda: self.runtime.tile_store.tile_exists(other))

    def expect_truth(self, kind: str, runs: int, fault_tally: FaultTally) -> None:
        """Nothing was lost or leaked, and what the writers were told is so. They have stopped."""
        self.auditor.expect_nothing_left_behind()
        audit, writing = self.auditor.audit(), self.writing
        lost = audit.lost | (writing.stored - writing.unknown - audit.rows.keys())
        leaked = audit.leaked - {
            f"{name}{end}" for name in writing.unknown for end in (".jpg", ".jpg.sha256")
        }
        fault_tally.add(f"database: {kind}", runs, lost=len(lost), torn=len(audit.torn), leaked=len(leaked))
        assert not lost
        assert not audit.torn
        assert not leaked
        assert not writing.removed & audit.rows.keys()
        assert not (writing.refused - writing.unknown) & audit.rows.keys()
        assert audit.total_is_exact


@contextmanager
def flying(root: Path, server: OwnServer | None = None) -> Iterator[Flight]:
    """A flight with this server's database, or with an embedded one."""
    config = AerotileConfig(
        root=root,
        database=attrs.evolve(SETTINGS, dsn=None if server is None else Secret(server.dsn)),
        lru=LruConfig(flush_interval_s=0.05, flush_entries=1),
    )
    with ExitStack() as stack:
        runtime = stack.enter_context(Runtime(config))
        store = runtime.tile_store
        for tile_id in BASE:
            store.write_tile(*tile(tile_id))
        descriptors = np.random.default_rng(1).random((len(BASE), 16), np.float32)
        runtime.index_builder.rebuild(
            BASE, descriptors, descriptor_model="test", built_at=datetime.now(timezone.utc)
        )
        index = runtime.descriptor_index

        def search() -> None:
            assert index.search(descriptors[3], 1)[0].tile_id == BASE[3]
            assert len(store.query_by_bbox(EVERYWHERE, 18)) >= len(BASE)

        reading = stack.enter_context(Reading(store, BASE, search))
        writing = stack.enter_context(Writing(runtime))
        auditor = Auditor(runtime.dsn, config.tiles_folder)
        postgres = config.postgres_folder if server is None else server.folder
        flight = Flight(runtime, auditor, reading, writing, postgres)
        writing.expect_progress()
        yield flight


def expect_flight_through(
    flight: Flight, rounds: int, kind: str, fault: Callable[[Flight], None], fault_tally: FaultTally
) -> None:
    """Let the fault come so often: reading goes on, writing recovers, and what was told is true."""
    for _ in range(rounds):
        fault(flight)
        flight.reading.expect_progress()
        flight.expect_recovery()
    flight.writing.__exit__()
    flight.expect_truth(kind, rounds, fault_tally)
