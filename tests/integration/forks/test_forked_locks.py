"""A child whose parent held every lock at the fork: nothing that the child does waits for one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, os, signal, sys, threading
from datetime import datetime, timezone
from pathlib import Path
import aerotile
from aerotile.adapters import composition
from aerotile.testing import example_jpeg

def tile(x):
    pixels = example_jpeg(x.to_bytes(4, "big"), 300)
    return pixels, aerotile.TileMetadata(
        tile_id=aerotile.TileId(9, x, 1, aerotile.TileSource.IMPORTED),
        captured_at=datetime.now(timezone.utc),
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=1.5,
    )

config = aerotile.load_config(root=Path(sys.argv[1]))
store = aerotile.build_tile_store(config)
store.write_tiles([tile(1), tile(2)])
missing = tile(2)[1].tile_id
(path,) = config.tiles_folder.rglob("2/1.jpg")
path.unlink()
runtime = composition.runtime_of(config)
database = runtime.database
locks = {
    "factories": composition._runtimes_lock,
    "runtime": runtime._lock,
    "catalogue": store._sync._lock,
    "pool": database._pool.driver._lock,
}

def call_factory():
    assert len(aerotile.build_tile_store(config)) == 1
    aerotile.close_runtimes()

def read_missing():
    try:
        store.read_tile_pixels(missing)
    except aerotile.TileNotFoundError:
        return
    raise AssertionError("a tile without a file was read")

uses = {
    "factories": call_factory,
    "runtime": runtime.close,
    "catalogue": read_missing,
    "pool": database.close,
}
held, ended = threading.Event(), threading.Event()

def hold(lock):  # as a thread of the parent that is in the middle of its work
    with lock:
        held.set()
        ended.wait()

name = sys.argv[2]
holder = threading.Thread(target=hold, args=(locks[name],))
holder.start()
held.wait()
if (child := os.fork()) == 0:
    signal.alarm(60)  # a child that waits for a lock ends by it
    try:
        uses[name]()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
ended.set()
holder.join()
assert store.tile_exists(tile(1)[1].tile_id)
store.delete_tile(tile(1)[1].tile_id)  # the parent goes on, its session too
sys.exit(status)
"""


@pytest.mark.parametrize("lock", ["factories", "runtime", "catalogue", "pool"])
def test_a_child_waits_for_no_lock_of_its_parents_threads(
    lock: str, migrated_database: str, tmp_path: Path
) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, tmp_path, lock],
        env=os.environ | {"AEROTILE_DATABASE_DSN": migrated_database},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
