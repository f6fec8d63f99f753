"""Ctrl-C during an upload: once ends it between two batches, twice at once; another run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.faults

TILES = 12


class Gate:
    """An act of a provider that waits, with the tiles stored, until it may answer."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, exchange: Any) -> None:
        results = exchange.store()
        self.reached.set()
        while not self.opened.wait(0.05) and not exchange.provider.ended.is_set():
            pass
        exchange.answer(200, {"results": results})


@pytest.fixture
def upload(site: Any, scripted_provider: Callable[..., Any], onboard_tile: Callable[..., Any]) -> Any:
    """A running `aerotile upload` whose second batch waits at a gate."""
    site.fly([onboard_tile(x) for x in range(TILES)])
    provider, gate = scripted_provider(), Gate()
    provider.acts = [provider.always, gate]
    settings = {
        "root": site.root,
        "database_dsn": site.dsn,
        "upload_url": provider.url,
        "upload_token": "t0ps3cr3t-t0k3n",
        "upload_max_batch_tiles": 4,
        "upload_parallel_requests": 1,
        "upload_backoff_cap_s": 3600,
        "upload_backoff_base_s": 3600,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "aerotile.adapters.cli", "upload"],
        env={**os.environ, **{f"AEROTILE_{name.upper()}": str(value) for name, value in settings.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert gate.reached.wait(60)
    yield process, gate, provider
    if process.poll() is None:
        process.kill()
    process.communicate()


def wait_for_notice(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    assert process.stderr.readline().startswith("stopping after what is under way")


def test_one_ends_it_after_the_batch_under_way_and_says_what_is_left(upload: Any, site: Any) -> None:
    process, gate, provider = upload
    process.send_signal(signal.SIGINT)
    wait_for_notice(process)
    gate.opened.set()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "interrupted: 4 tiles are left pending; run aerotile upload again\n"
    assert out.startswith("8 tiles uploaded, 0 given up, 4 left pending")
    assert site.states() == {"uploaded": 8, "pending": 4}
    assert site.call("upload", upload_url=provider.url).code == 0
    assert set(provider.accepted.values()) == {1}


def test_two_end_it_at_once(upload: Any, site: Any) -> None:
    process, _, provider = upload
    process.send_signal(signal.SIGINT)
    wait_for_notice(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "interrupted\n"
    assert site.states() == {"uploaded": 4, "pending": 8}
    assert site.call("upload", upload_url=provider.url).code == 0
    assert site.states() == {"uploaded": TILES}
    assert set(provider.accepted.values()) == {1}


def test_one_ends_the_wait_for_a_retry(upload: Any, site: Any) -> None:
    process, gate, provider = upload
    waiting = threading.Event()

    def ask_for_patience(exchange: Any) -> None:
        exchange.receive_body()
        exchange.answer(503)
        waiting.set()

    provider.always = ask_for_patience
    gate.opened.set()
    assert waiting.wait(60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: 4 tiles are left pending" in err
    assert site.states() == {"uploaded": 8, "pending": 4}


def test_a_terminating_signal_ends_it_at_once(upload: Any, site: Any) -> None:
    process, _, provider = upload
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert site.call("upload", upload_url=provider.url).code == 0
    assert set(provider.accepted.values()) == {1}
