"""kill -9 of the uploader at random moments: every tile ends on the provider once, and our rows know.

AEROTILE_TEST_UPLOAD_KILLS sets how often it is killed over 1,000 tiles (default 15; in full it is 200).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.faults

WORKER = Path(__file__).with_name("upload_worker.py")
KILLS = int(os.environ.get("AEROTILE_TEST_UPLOAD_KILLS", "15"))
TILES = 1000
TOKEN = "t0ps3cr3t-t0k3n"
LONGEST_BATCH_S = 0.04


def live_and_die(chance: random.Random, batches: int, arguments: list[str]) -> None:
    """Start an uploader and kill it at some moment after its `batches`-th batch.

    It waits behind the next one: however late the kill comes, tiles are left for the lives that follow.
    """
    worker = subprocess.Popen(
        [sys.executable, str(WORKER), *arguments, str(batches)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    said = [worker.stdout.readline() for _ in range(batches + 1)]
    time.sleep(chance.random() * LONGEST_BATCH_S)
    worker.kill()
    _, complaints = worker.communicate()
    assert said == ["ready\n", *["batch\n"] * batches], complaints
    assert worker.returncode == -signal.SIGKILL


@pytest.mark.timeout(120 + 10 * KILLS)
def test_an_uploader_killed_at_any_moment_neither_loses_nor_doubles_a_tile(
    site: Any, scripted_provider: Callable[..., Any], onboard_tile: Callable[..., Any]
) -> None:
    site.fly([onboard_tile(x) for x in range(TILES)])
    provider = scripted_provider()
    chance = random.Random(KILLS)
    arguments = [str(site.root), site.dsn, provider.url, TOKEN]
    # A life uploads two tiles a batch; together the lives get about half of the tiles done.
    most_batches = TILES // 2 // KILLS
    for _ in range(KILLS):
        live_and_die(chance, chance.randint(0, most_batches), arguments)
    assert 0 < len(provider.stored) < TILES
    told = Counter(entry["state"] for entry in site.uploads())
    assert told["uploaded"] <= len(provider.stored)

    result = site.call("upload", upload_url=provider.url)
    assert (result.code, result.err) == (0, "")
    listed = site.uploads()
    assert Counter(entry["state"] for entry in listed) == {"uploaded": TILES}
    assert provider.stored == {entry["tile_uuid"]: entry["content_sha256"] for entry in listed}
    assert set(provider.accepted.values()) == {1}
    assert {entry["upload_attempts"] for entry in listed} == {0}
    assert f"{TILES - told['uploaded']} tiles uploaded" in result.out
