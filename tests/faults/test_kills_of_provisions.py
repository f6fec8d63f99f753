"""A provision from an archive and a server that is killed, or whose disk is full: the next run ends the same.

TEST_KILLS sets how often (default 10, of which this test takes three; a number above 10 is taken whole).
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest
from archives import Place, picture, write_folder, write_mbtiles
from fault_tally import FaultTally
from mounting import run
from nursery import MOST_KILLS
from random_seed import random_of
from tile_server import Behaviour, TileServer
from waiting import DEADLINE_S

_KILLS = min(MOST_KILLS, 50) if MOST_KILLS > 10 else 3
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800 if _KILLS > 3 else 300)]

ZOOM, FIRST, SIDE = 12, (2177, 1420), 24
_FACTS = """
    SELECT zoom_level, x, y, source, captured_at, content_sha256, disk_bytes, dataset
    FROM tiles ORDER BY 1, 2, 3
"""
_USAGE = "SELECT total_bytes, footprint_bytes FROM disk_usage"


@attrs.frozen
class Store:
    """What lies on the disk and in the database."""

    files: dict[str, bytes]
    rows: list[Any]


def _half(kind: str) -> dict[Place, bytes]:
    x, y = FIRST
    return {
        (ZOOM, x + column, y + row): picture(column * SIDE + row, kind)
        for column in range(SIDE // 2)
        for row in range(SIDE)
        if (row % 4 == 0) == (kind == "PNG")
    }


@attrs.define
class Site:
    """Provisions of one mosaic into stores that begin empty."""

    folder: Path
    postgres: Any
    template: str
    server: TileServer
    archive: str = ""
    lives: int = 0

    def begin(self) -> tuple[Path, str]:
        """A root and the DSN of a database, both new."""
        self.lives += 1
        root = self.folder / f"store {self.lives}"
        root.mkdir()
        return root, self.postgres.create_database(template=self.template)

    def start(self, root: Path, database: str) -> subprocess.Popen[str]:
        """Provision into the store, as a process of its own."""
        self.server.requests.clear()
        last = FIRST[0] + SIDE - 1
        west, east = (FIRST[0] + 0.01) / 4096 * 360 - 180, (last + 0.99) / 4096 * 360 - 180
        area = f"{west},{_latitude(FIRST[1] + SIDE - 0.01)},{east},{_latitude(FIRST[1] + 0.01)}"
        clean = {name: text for name, text in os.environ.items() if not name.startswith("AEROTILE_")}
        address = self.server.address + "/{z}/{x}/{y}.jpg"
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "aerotile.adapters.cli", "provision", "--root", str(root)),
                *(self.archive, address, "--area", area, "--zoom", str(ZOOM)),
                *("--captured-at", "2026-05-01", "--rate", "1000", "--connections", "8"),
            ],
            cwd=self.folder,
            env={**clean, "AEROTILE_DATABASE_DSN": self.postgres.dsn_of(database)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, root: Path, database: str) -> Store:
        """Provision to the end; what the store is then."""
        process = self.start(root, database)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, out + err
        with psycopg.connect(self.postgres.dsn_of(database)) as connection:
            rows = [*connection.execute(_FACTS).fetchall(), *connection.execute(_USAGE).fetchall()]
        tiles = root / "tiles"
        files = {
            str(path.relative_to(tiles)): path.read_bytes() for path in tiles.rglob("*") if path.is_file()
        }
        return Store({name: content for name, content in files.items() if not name.startswith(".")}, rows)


@pytest.fixture
def site(tmp_path: Path, postgres_server: Any, _migrated_template: str) -> Iterator[Site]:
    def body(path: str) -> bytes:
        return picture(sum(ord(sign) * place for place, sign in enumerate(path)))

    write_mbtiles(tmp_path / "half.mbtiles", _half("PNG") | _half("JPEG"))
    write_folder(tmp_path / "half", _half("PNG"), "png")
    write_folder(tmp_path / "half", _half("JPEG"))
    with TileServer(Behaviour(body=body)) as server:
        yield Site(tmp_path, postgres_server, _migrated_template, server)


def test_a_provision_that_is_killed_at_any_moment_ends_with_the_same_store(
    site: Site, fault_tally: FaultTally
) -> None:
    chance = random_of("kills of provisions")
    reference: dict[str, Store] = {}
    requests = 0
    kills = 0
    while kills < _KILLS:
        site.archive = ("half.mbtiles", "half")[kills % 2]
        if site.archive not in reference:
            root, database = site.begin()
            reference[site.archive] = site.finish(root, database)
            requests = site.server.requests.total()
            assert len(reference[site.archive].files) == 2 * SIDE**2
        root, database = site.begin()
        process = site.start(root, database)
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0.0, 2.0))
        else:
            moment = chance.randint(1, requests)
            while process.poll() is None and site.server.requests.total() < moment:
                time.sleep(0.001)
            time.sleep(chance.choice((0.0, 0.05, 0.3)))
        process.kill()
        _, err = process.communicate()
        assert "Traceback" not in err
        kills += process.returncode < 0
        fault_tally.add("kill of a provision", process.returncode < 0)
        assert site.finish(root, database) == reference[site.archive]
        site.postgres.drop_database(database)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount small file systems")
def test_a_disk_that_is_full_half_way_is_one_line_and_the_next_run_goes_on(
    site: Site, mount: Callable[..., Path], fault_tally: FaultTally
) -> None:
    site.archive = "half.mbtiles"
    reference = site.finish(*site.begin())
    _, database = site.begin()
    small = mount("size=3m")
    process = site.start(small / "store", database)
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    line = err.splitlines()[-1]
    assert line.startswith("error: ")
    assert "No space left on device" in line
    assert "Traceback" not in err
    assert 0 < len(list((small / "store/tiles").rglob("*.jpg"))) < SIDE**2
    run("mount", "-o", "remount,size=64m", small)
    assert site.finish(small / "store", database) == reference
    fault_tally.add("full disk: a provision", 1)


def _latitude(row: float) -> float:
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / 2.0**ZOOM))))
