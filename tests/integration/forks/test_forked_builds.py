"""An index in a child whose parent has built one: it searches on, and FAISS's threads did not come along."""

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


LOCKED = """
import os, signal, sys
from datetime import datetime, timezone
from pathlib import Path
import numpy as np
from aerotile import Area, Bbox, TileId, TileSource
from aerotile.adapters.faiss.index import FaissDescriptorIndex

tiles = [TileId(18, x, 0, TileSource.IMPORTED) for x in range(20)]
descriptors = np.eye(20, dtype=np.float32)
with_build = FaissDescriptorIndex(Path(sys.argv[1]))
with_build.rebuild(tiles, descriptors, descriptor_model="m", built_at=datetime.now(timezone.utc))
index = FaissDescriptorIndex(Path(sys.argv[1]))
index._mapped.areas._verifying.acquire()  # as a thread that hashes a block does
index._swap.acquire()
if (child := os.fork()) == 0:
    signal.alarm(60)  # a child that waits for a lock ends by it
    everywhere = Area((Bbox(-90, -180, 90, 180),))
    assert index.search_within(descriptors[7], 1, everywhere)[0].tile_id == tiles[7]
    index.close()
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_needs_no_lock_that_a_thread_of_its_parent_held(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", LOCKED, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr


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
