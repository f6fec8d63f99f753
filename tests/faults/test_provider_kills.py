"""A killed reference provider: what it had accepted is there, whole; what it had not can be sent again."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.shelf import Shelf
from aerotile.domain.values.tiles import TileMetadata, VotingStatus

pytestmark = pytest.mark.faults
TOKEN = "a-token-of-the-tests"
MakeTile = Callable[..., tuple[bytes, TileMetadata]]
TRUSTING = Behaviour(verdict=VotingStatus.TRUSTED)


def frame(tile: tuple[bytes, TileMetadata]) -> bytes:
    content, metadata = tile
    tile_id = metadata.tile_id
    header = {
        "tile_uuid": str(tile_id.tile_uuid),
        "idempotency_key": f"{tile_id.tile_uuid}:{metadata.content_sha256}",
        "zoom_level": tile_id.zoom_level,
        "x": tile_id.x,
        "y": tile_id.y,
        "source": tile_id.source.value,
        "flight_id": str(tile_id.flight_id),
        "captured_at": "2026-05-01T12:00:00Z",
        "content_sha256": metadata.content_sha256,
        "disk_bytes": metadata.disk_bytes,
        "tile_size_pixels": 256,
        "ground_sample_distance": 0.59,
        "quality": None,
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(4, "big") + text + content


def batch(onboard_tile: MakeTile, columns: range, size: int = 300) -> bytes:
    return b"".join(frame(onboard_tile(x, size)) for x in columns)


def files_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of each JPEG by its name, read from the disk."""
    return {
        path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "tiles").glob("*.jpg")
    }


TAKE = """
import sys
from pathlib import Path
from aerotile.adapters.provider.behaviour import Behaviour
from aerotile.adapters.provider.shelf import Shelf
from aerotile.domain.values.tiles import VotingStatus
shelf = Shelf(Path(sys.argv[1]))
shelf.take(Path(sys.argv[2]).read_bytes(), Behaviour(verdict=VotingStatus.TRUSTED))
"""
CALLS = ("rename", "syncfs", "fsync", "fdatasync", "write")


@pytest.mark.parametrize("call", CALLS)
def test_a_kill_at_each_system_call_leaves_a_folder_that_opens_and_takes_the_batch_again(
    tmp_path: Path, onboard_tile: MakeTile, call: str
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs the program strace (Debian package strace)")
    body = batch(onboard_tile, range(3))
    (tmp_path / "body").write_bytes(body)
    for number in range(1, 100):
        folder = tmp_path / f"{call}{number}"
        killed = subprocess.run(
            [
                *(strace, "-f", "-o", tmp_path / "trace", "-e", f"trace={call}"),
                *("-e", f"inject={call}:signal=KILL:when={number}"),
                *(sys.executable, "-c", TAKE, folder, tmp_path / "body"),
            ],
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # no other files are written
        )
        shelf = Shelf(folder)
        held = shelf.tiles.hashes()
        outcomes = {result["tile_uuid"]: result["outcome"] for result in shelf.take(body, TRUSTING)}
        assert {UUID(name) for name, outcome in outcomes.items() if outcome == "duplicate"} == set(held)
        assert files_of(folder) == {str(name): sha256 for name, sha256 in shelf.tiles.hashes().items()}
        assert len(files_of(folder)) == len(shelf.votes.page(0, 1000)[0]) == 3
        shelf.close()
        if killed.returncode == 0:
            break
    assert number > 1


def start(folder: Path, port_file: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The real server, and where it answers."""
    port_file.unlink(missing_ok=True)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "aerotile.adapters.cli", "provider", "--folder", folder),
            *("--port", "0", "--port-file", port_file, "--verdict", "trusted"),
        ],
        env={**os.environ, "REFERENCE_PROVIDER_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
    )
    while not port_file.exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process, f"http://127.0.0.1:{port_file.read_text().strip()}"


def send(url: str, body: bytes) -> dict[str, str]:
    """The outcome by tile_uuid."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Aerotile-Protocol": "1",
        "Content-Type": "application/vnd.aerotile.tile-batch",
        "Content-Digest": f"sha-256=:{digest}:",
    }
    answer = httpx.post(f"{url}/v1/tiles:batch", content=body, headers=headers, timeout=60)
    return {result["tile_uuid"]: result["outcome"] for result in answer.raise_for_status().json()["results"]}


def test_a_server_killed_at_random_moments_keeps_every_tile_that_it_accepted(
    tmp_path: Path, onboard_tile: MakeTile
) -> None:
    folder, port_file = tmp_path / "received", tmp_path / "port"
    moments = random.Random(3)
    bodies = [batch(onboard_tile, range(first, first + 5), 20_000) for first in range(0, 500, 5)]
    expected = {
        str(metadata.tile_id.tile_uuid): metadata.content_sha256
        for _, metadata in (onboard_tile(x, 20_000) for x in range(500))
    }
    unsent = list(bodies)
    accepted: dict[str, str] = {}
    kills = 0
    while kills < 12 or not accepted:
        kills += 1
        process, url = start(folder, port_file)
        # On a busy machine the first answer may take longer: the moments move on until one was given.
        killing = threading.Timer(moments.uniform(0.005, 0.25) * max(1, kills / 12), process.kill)
        killing.start()
        try:
            while unsent:
                accepted |= send(url, unsent[0])
                unsent.pop(0)
        except httpx.TransportError:
            pass
        killing.join()
        process.wait()
        on_disk = files_of(folder)
        assert {name: on_disk[name] for name in accepted} == {name: expected[name] for name in accepted}
    process, url = start(folder, port_file)
    outcomes: dict[str, str] = {}
    for body in bodies:
        outcomes |= send(url, body)
    process.terminate()
    process.wait()
    assert {name for name, outcome in outcomes.items() if outcome == "duplicate"} >= set(accepted)
    assert files_of(folder) == expected
