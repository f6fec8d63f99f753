"""Building an index in a child whose parent has built one: FAISS's threads did not come along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from datetime import datetime, timezone
from pathlib import Path
import numpy as np
from aerotile import IndexBuildError, TileId, TileSource
from aerotile.adapters.faiss.index import FaissDescriptorIndex

COUNT = 2_100
index = FaissDescriptorIndex(Path(sys.argv[1]), threads=2)
tiles = [TileId(18, x, 0, TileSource.IMPORTED) for x in range(COUNT)]
descriptors = np.random.default_rng(1).normal(size=(COUNT, 4)).astype(np.float32)

def build():
    index.rebuild(tiles, descriptors, descriptor_model="m", built_at=datetime.now(timezone.utc))

build()
if (child := os.fork()) == 0:
    assert index.search(descriptors[7], 1)[0].tile_id == tiles[7]
    try:
        build()
    except IndexBuildError as error:
        print(error, "-", error.remedy, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert len(index.generations.names()) == 1
build()
print(len(index.generations.names()))
"""


def test_a_child_searches_on_and_is_refused_to_build(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "this process was forked from one that had built an index, and FAISS's threads stayed there - "
        "build in a new interpreter: `aerotile index build`, or multiprocessing with spawn",
        "2",
    ]
