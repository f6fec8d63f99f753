"""A real quota, that of a btrfs: once it is used up every write is refused, though the disk has room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from block_devices import DeviceMaker
from fault_tally import FaultTally
from small_store import SmallStore

from aerotile.domain.errors import AerotileError

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system"),
    pytest.mark.skipif(shutil.which("btrfs") is None, reason="needs btrfs (Debian package btrfs-progs)"),
]

QUOTA_BYTES = 4 << 20


def btrfs(*words: str | Path) -> None:
    subprocess.run(["btrfs", *words], check=True, capture_output=True)


@pytest.fixture
def quota_mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of which `QUOTA_BYTES` may be used."""
    with ExitStack() as undo:
        device = DeviceMaker(tmp_path, undo)("btrfs")
        btrfs("quota", "enable", device.mount)
        btrfs("qgroup", "limit", str(QUOTA_BYTES), device.mount)
        yield device.mount


@pytest.mark.parametrize("at_once", [1, 40])
def test_a_quota_that_is_used_up_refuses_tiles_until_there_is_room_and_loses_none(
    quota_mount: Path, at_once: int, fault_tally: FaultTally
) -> None:
    cache = SmallStore(quota_mount / "tiles")
    refused: list[AerotileError] = []
    for x in range(1000):
        outcomes = cache.write_batch(x, at_once) if at_once > 1 else [cache.write(x, 0)]
        refused += [error for error in outcomes if error is not None]
        if len(refused) >= 20:
            break
    assert len(refused) >= 20
    assert all("Disk quota exceeded" in str(error) for error in refused)
    assert all(error.remedy for error in refused)
    kept = sorted(cache.committed(), key=lambda tile_id: (tile_id.x, tile_id.y))
    assert kept
    cache.assert_whole()
    btrfs("qgroup", "limit", "none", quota_mount)
    assert cache.write(2000, 0) is None
    cache.store.delete_tile(kept[0])
    cache.assert_whole()
    cache.files.close()
    fault_tally.add("quota used up: tiles", len(refused))
