"""The health of a process that flies: its file, what systemd hears of it, and a database that goes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from waiting import until

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig, HealthConfig
from aerotile.domain.find_tiles import find_tiles
from aerotile.domain.values.descriptors import SearchHit
from aerotile.domain.values.health import DegradedState
from aerotile.domain.values.tiles import TileId, TileSource

FLIGHT = """
import sys
from pathlib import Path
import aerotile

config = aerotile.AerotileConfig(root=Path(sys.argv[1]), health=aerotile.HealthConfig(period_s=0.05))
monitor = aerotile.build_health_monitor(config)
for line in sys.stdin:
    monitor.beat()
aerotile.close_runtimes()
"""


def config_of(tmp_path: Path, dsn: str) -> AerotileConfig:
    return AerotileConfig(
        root=tmp_path / "data",
        database=DatabaseConfig(dsn=Secret(dsn), connect_timeout_s=5.0),
        health=HealthConfig(file=tmp_path / "health.json", period_s=0.05),
    )


def written(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(path.read_bytes())
    return facts


class _IndexOfAnotherStore:
    def search(self, descriptor: object, k: int) -> list[SearchHit]:
        return [SearchHit(TileId(9, 1, 1, TileSource.IMPORTED), 0.5)]


def test_the_file_follows_what_the_process_opened_and_goes_with_it(
    tmp_path: Path, migrated_database: str, postgres_server: Any
) -> None:
    config = config_of(tmp_path, migrated_database)
    path = config.health_file
    with Runtime(config) as runtime:
        monitor = runtime.part("health_monitor")
        assert monitor.health().degradations == ()  # nothing is open
        store = runtime.part("store_in_use")
        runtime.part("recorder")
        assert monitor.health().degradations == ()
        monitor.beat()
        until(lambda: path.exists() and written(path)["beats"] == 1)
        assert (written(path)["status"], written(path)["pid"]) == ("ok", os.getpid())
        query = np.zeros(4, np.float32)
        assert find_tiles(query, 1, index=_IndexOfAnotherStore(), store=store) == []
        assert monitor.health().states == {DegradedState.INDEX_FOREIGN}
        postgres_server.drop_database(migrated_database.rpartition("dbname=")[2].split()[0])
        until(lambda: DegradedState.DATABASE_GONE in monitor.health().states)
        until(lambda: "database_gone" in [each["state"] for each in written(path)["degraded"]])
    assert not path.exists()


def test_a_killed_process_leaves_its_file_behind_and_one_that_ends_does_not(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    for kills in (False, True):
        with subprocess.Popen([sys.executable, "-c", FLIGHT, str(tmp_path)], stdin=subprocess.PIPE) as flight:
            until(path.exists)
            if kills:
                flight.kill()
            else:
                flight.communicate()
        assert path.exists() is kills


def test_systemd_hears_ready_watchdog_and_stopping_in_the_order_of_a_flight(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(120)
        with subprocess.Popen(
            [sys.executable, "-c", FLIGHT, str(tmp_path)],
            stdin=subprocess.PIPE,
            env={**os.environ, "NOTIFY_SOCKET": systemd.getsockname()},
        ) as flight:
            assert flight.stdin is not None
            assert systemd.recv(4096) == b"STATUS=ok"  # and nothing more before the first beat
            for told in (b"READY=1\nWATCHDOG=1", b"WATCHDOG=1"):
                flight.stdin.write(b"beat\n")
                flight.stdin.flush()
                assert systemd.recv(4096) == told
            flight.stdin.close()
            assert systemd.recv(4096) == b"STOPPING=1"
            assert flight.wait(120) == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd's own reader of units is needed")
def test_the_unit_in_the_documentation_is_one_that_systemd_takes(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "health.md").read_text()
    unit = page.partition("```ini\n")[2].partition("```")[0]
    assert "/opt/flight/bin/python" in unit
    file = tmp_path / "flight.service"
    file.write_text(unit.replace("/opt/flight/bin/python", sys.executable))
    checked = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=120, check=False
    )
    assert checked.returncode == 0, checked.stderr
    told = (checked.stdout + checked.stderr).splitlines()
    assert [line for line in told if file.name in line] == []  # the machine's own units are read as well


def test_no_call_of_the_loop_opens_a_part(tmp_path: Path) -> None:
    with Runtime(AerotileConfig(root=tmp_path / "data", health=HealthConfig(period_s=60))) as runtime:
        monitor = runtime.part("health_monitor")
        before = set(vars(runtime))
        monitor.beat()
        monitor.health()
        assert set(vars(runtime)) == before
        assert not (tmp_path / "data" / "postgres").exists()
        assert not (tmp_path / "data" / "record").exists()


@pytest.mark.parametrize("period_s", [0.0, 61.0])
def test_a_period_that_no_supervisor_waits_for_is_refused(period_s: float) -> None:
    with pytest.raises(ValueError, match="period_s"):
        HealthConfig(period_s=period_s)
