"""Many tiles of a server that fails, throttles and dies: `TEST_FETCHED_TILES=100000` fetches so many."""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import mercantile
import pytest
from archives import picture
from tile_server import Behaviour, TileServer

TILES = int(os.environ.get("TEST_FETCHED_TILES", "1200"))
SIDE = math.isqrt(TILES - 1) + 1
ZOOM, RATE, CONNECTIONS = 15, 400, 32
GROWTH_KIB = 64 << 10
"""What the memory of the process may grow by after a third of the tiles, whatever their number."""


@pytest.mark.slow(reason="a server that fails and dies while tiles are fetched from it for half a minute")
@pytest.mark.timeout(7200 if TILES > 10_000 else 300)
def test_every_tile_of_a_server_that_fails_throttles_and_dies_twice_comes_once(
    spawn: Callable[..., subprocess.Popen[str]], tmp_path: Path, migrated_database: str
) -> None:
    (tmp_path / "aerotile-data").mkdir()
    one = picture(1)
    first, last = mercantile.bounds(17000, 11000, ZOOM), mercantile.bounds(16999 + SIDE, 10999 + SIDE, ZOOM)
    inset = 0.001
    area = f"{first.west + inset},{last.south + inset},{last.east - inset},{first.north - inset}"
    behaviour = Behaviour(fail_every=10, throttle_every=max(501, TILES // 20 + 1), body=lambda path: one)
    with TileServer(behaviour) as server:
        process = spawn(
            *("provision", server.address + "/{z}/{x}/{y}.jpg", "--area", area, "--zoom", ZOOM),
            *("--captured-at", "2026-05-01", "--rate", RATE, "--connections", CONNECTIONS, "--json"),
            AEROTILE_DATABASE_DSN=migrated_database,
        )
        deaths = [TILES // 3, 2 * TILES // 3]
        memory: list[tuple[int, int]] = []
        while process.poll() is None:
            answered = server.served.total()
            memory.append((answered, _resident_kib(process.pid)))
            if deaths and answered >= deaths[0]:
                deaths.pop(0)
                server.stop()
                time.sleep(2)
                server.start()
            time.sleep(0.1)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert not deaths
    served, requests = server.served, server.requests.total()
    assert len(served) == SIDE**2
    # An answer on its way when the server dies may be lost; no other tile is asked for twice.
    assert sum(served.values()) - SIDE**2 <= 2 * CONNECTIONS
    assert f'"stored": {SIDE**2}' in out
    assert len(list((tmp_path / "aerotile-data/tiles").rglob("*.jpg"))) == SIDE**2
    assert server.most_at_once <= CONNECTIONS
    for window_s in (1.0, 5.0):
        most = _most_within(server.arrivals, window_s)
        # Each connection may have a request that was to start before the window.
        assert most <= RATE * window_s + CONNECTIONS + 1
    before = max(kib for answered, kib in memory if answered <= TILES // 3)
    after = max(kib for answered, kib in memory)
    seconds = server.arrivals[-1] - server.arrivals[0]
    print(  # noqa: T201 - the figures of a run by hand, with pytest -s
        f"{SIDE**2} tiles, {requests} requests in {seconds:.0f} s ({requests / seconds:.0f} a second); "
        f"at most {_most_within(server.arrivals, 1.0)} within a second, {server.most_at_once} at once; "
        f"resident memory at most {before >> 10} MiB in the first third, {after >> 10} MiB in all"
    )
    assert after - before <= GROWTH_KIB


def _resident_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)


def _most_within(arrivals: list[float], window_s: float) -> int:
    ordered = sorted(arrivals)
    most = begin = 0
    for end, moment in enumerate(ordered):
        while ordered[begin] < moment - window_s:
            begin += 1
        most = max(most, end - begin + 1)
    return most
