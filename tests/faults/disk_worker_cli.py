"""The command `aerotile`, called in this process; ARGUMENT is the DSN of a database."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timezone
from itertools import count
from pathlib import Path

import numpy as np
from disk_worker import Operation
from PIL import Image

from aerotile.adapters.cli import main

COMMANDS = {
    "ingest": "ingest tiles --captured-at {today}",
    "sectors": "sectors load sectors.geojson",
    "index": "index build descriptors.npz --model a-network",
    "rollback": "index rollback",
    "export": "record --mcap flight.mcap",
    "verify": "verify",
    "status": "status --config given.toml",
}
SECTOR = {
    "type": "Feature",
    "properties": {"sector_id": "one", "classification": "stable_rear"},
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]},
}


class Command(Operation):
    def __init__(self, words: str) -> None:
        self.words = shlex.split(words.format(today=datetime.now(timezone.utc).date()))

    def prepare(self) -> None:
        Path("aerotile-data/verify-progress.json").write_text("{}")

    def do(self) -> str:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(self.words)
        return json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()})


class NewTiles(Operation):
    """Tiles to be ingested that the store does not have yet."""

    def __init__(self) -> None:
        self.columns = count(10)

    def prepare(self) -> None:
        make_tiles(next(self.columns))


def make_tiles(x: int) -> None:
    shutil.rmtree("tiles", ignore_errors=True)
    place = Path(f"tiles/7/{x}")
    place.mkdir(parents=True)
    for y in range(3):
        Image.new("RGB", (256, 256), (y, 100, 200)).save(place / f"{y}.jpg")


def operations(folder: Path, dsn: str) -> dict[str, Operation]:
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith("AEROTILE_")]:
        del os.environ[name]
    os.environ["AEROTILE_DATABASE_DSN"] = dsn
    Path("aerotile-data").mkdir()
    Path("given.toml").write_text("[budget]\nmax_bytes = 5000000\n")
    Path("sectors.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [SECTOR]}))
    make_tiles(60)
    names = [f"imported/7/60/{y}" for y in range(3)]
    np.savez("descriptors.npz", tiles=names, descriptors=np.eye(3, 16, dtype=np.float32))
    return {"new tiles": NewTiles(), **{name: Command(words) for name, words in COMMANDS.items()}}
