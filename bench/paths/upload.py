"""P-14: uploading over a slow, long link; see `upload_link.py`. The times are per tile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from harness.operations import Operation, Samples, Seconds, Unavailable
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import Workshop

_PROGRAM = Path(__file__).resolve().parent.parent / "upload_link.py"
_TILE_BYTES = 30_000
_BITS_PER_S = 20e6
_FULL_TILES, _QUICK_TILES = 7_000, 250
_FULL_SINGLE_TILES, _QUICK_SINGLE_TILES = 60, 20


def _uploading(
    full_tiles: int, quick_tiles: int, **settings: str
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        if shutil.which("ip") is None:
            raise Unavailable("there is no command ip (Debian package iproute2)")
        tiles = quick_tiles if workshop.sizes.quick else full_tiles
        shares: list[float] = []

        def sample(rounds: int) -> Seconds:
            runs = [_run(tiles, settings) for _ in range(rounds)]
            shares.extend(run["share"] for run in runs)
            return np.array([run["seconds"] / tiles for run in runs])

        yield Samples(sample=sample, facts=lambda: {"share_of_link": shares[-1]})

    return opened


def _run(tiles: int, settings: dict[str, str]) -> dict[str, Any]:
    command = [
        sys.executable,
        str(_PROGRAM),
        "--json",
        "--tiles",
        str(tiles),
        "--tile-bytes",
        str(_TILE_BYTES),
    ]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    if done.returncode == 2:
        raise Unavailable(done.stderr.strip())
    if not done.stdout:
        raise RuntimeError(f"the upload failed:\n{done.stderr}")
    facts: dict[str, Any] = json.loads(done.stdout)
    if not facts["complete"]:
        raise RuntimeError("tiles are missing at the provider")
    return facts


@contextmanager
def _link(_: Workshop) -> Iterator[Operation]:
    yield Samples(sample=lambda rounds: np.full(rounds, _TILE_BYTES * 8 / _BITS_PER_S))


UPLOAD = MeasuredPath(
    id="P-14",
    subjects=(
        Subject(
            name="Aerotile", role=Role.OURS, open=_uploading(_FULL_TILES, _QUICK_TILES), note="pixels only"
        ),
        Subject(
            name="the link", role=Role.FLOOR, open=_link, note="pixels at the rate of the link, computed"
        ),
        Subject(
            name="one request per tile",
            role=Role.PEER,
            open=_uploading(
                _FULL_SINGLE_TILES,
                _QUICK_SINGLE_TILES,
                AEROTILE_UPLOAD_MAX_BATCH_TILES="1",
                AEROTILE_UPLOAD_PARALLEL_REQUESTS="1",
            ),
            note="our own uploader, one tile per request, one request at a time, over one connection",
        ),
    ),
    full=Effort(blocks=1, rounds=1),
    quick=Effort(blocks=1, rounds=1),
    warm_up=False,
)
