"""Power cuts while tiles are written: whatever was reported as placed is there afterwards, and whole.

A cut is made by the file system's own shutdown call: nothing that its journal has not committed by then
reaches the device. `TEST_POWER_CUTS` says how many cuts each test makes.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import attrs
import pytest
from block_devices import Device, DeviceMaker, until_done
from random_seed import random_of
from tile_writer import THREADS, newer_pixels, tiles

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.filesystem.layout import tile_path

CUTS = int(os.environ.get("TEST_POWER_CUTS", "4"))
PIPE_BYTES = 1 << 20
WRITER = Path(__file__).with_name("tile_writer.py")
TILES_BEFORE_A_CUT = 100
"""Of each thread, whose every sync is held: more than it can place before the cut, on a busy machine too."""
STRACE = shutil.which("strace")

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems and cut their power"),
    pytest.mark.timeout(300 + 20 * CUTS),
]


def write_until_a_cut(device: Device, way: str, chance: random.Random, *under: str) -> dict[str, str]:
    """Let a process write, cut the power at some moment, and return the hashes of the tiles it had reported.

    What it says after that does not count: to a file system that was shut down, some syncs succeed.
    """
    root = device.mount / f"tiles{chance.getrandbits(32)}"
    process = subprocess.Popen(
        [*under, sys.executable, str(WRITER), str(root), way],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as told:
        select.select([told], [], [])
        time.sleep(chance.uniform(0.0, 0.2))
        lines = os.read(told.fileno(), PIPE_BYTES).decode().splitlines(keepends=True)
        device.cut_power()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    device.unplug()
    device.plug_in()
    whole = [line.split() for line in lines if line.endswith("\n")]
    assert whole, "the writer wrote nothing"
    return {f"{root}/{path}": sha256 for path, sha256 in whole}


def lost_of(reported: dict[str, str]) -> list[str]:
    """The tiles that are not there, or not whole."""
    lost = []
    for path, sha256 in reported.items():
        try:
            whole = hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256
        except FileNotFoundError:
            whole = False
        if not whole:
            lost.append(path)
    return lost


def cut_often(device: Device, way: str) -> None:
    chance = random_of(f"power cuts of {way}")
    reported = 0
    for _ in range(CUTS):
        tiles = write_until_a_cut(device, way, chance)
        assert lost_of(tiles) == []
        reported += len(tiles)
        # For room only: the next writer has a root of its own. Where a sync does not cover names, a cut may
        # leave one whose inode is lost (a sidecar's, which no write waits for), and it can't be removed.
        remove = ["find", str(device.mount), "-mindepth", "1", "-delete"]
        subprocess.run(remove, check=device.syncs_names())
    assert reported >= CUTS


@pytest.mark.parametrize("way", ["one", "ahead", "many", "beside"])
@pytest.mark.parametrize(
    ("kind", "arguments", "options"),
    [
        ("ext4", [], ""),
        ("ext4", [], "data=journal"),
        ("ext4", [], "data=writeback"),
        ("ext4", [], "dioread_lock"),
        ("xfs", [], ""),
    ],
    ids=lambda value: "".join(value),
)
def test_where_a_sync_covers_the_name_nothing_that_was_reported_is_lost(
    make_device: DeviceMaker, kind: str, arguments: list[str], options: str, way: str
) -> None:
    device = make_device(kind, *arguments, options=options)
    assert device.syncs_names()
    cut_often(device, way)


@pytest.mark.parametrize("way", ["one", "ahead", "many", "beside"])
@pytest.mark.parametrize(
    ("arguments", "options"),
    [([], "data=writeback,journal_async_commit"), (["-O", "fast_commit"], "")],
    ids=lambda value: "".join(value),
)
def test_where_the_folder_is_synced_too_nothing_that_was_reported_is_lost(
    make_device: DeviceMaker, arguments: list[str], options: str, way: str
) -> None:
    device = make_device("ext4", *arguments, options=options)
    assert not device.syncs_names()
    cut_often(device, way)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("way", ["one", "ahead", "beside"])
def test_a_name_that_anybodys_sync_has_committed_stands_above_the_whole_tile(
    make_device: DeviceMaker, kind: str, way: str
) -> None:
    """The writer is held at its own sync; the sync of a file that is not its takes the journal with it."""
    if STRACE is None:
        pytest.skip("needs strace to hold a call")
    device = make_device(kind)
    root = device.mount / "tiles"
    for thread in range(THREADS):  # otherwise the writer is held when it makes them
        (root / f"imported/20/{thread * 10_000}").mkdir(parents=True)
    process = subprocess.Popen(
        [STRACE, "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=1500ms",
         sys.executable, str(WRITER), str(root), way],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while not list(root.glob("imported/*/*/*.jpg")):
        assert process.poll() is None
        time.sleep(0.01)
    with (device.mount / "another").open("wb") as another:
        os.fsync(another.fileno())
    device.cut_power()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    device.unplug()
    device.plug_in()
    written = {
        content
        for thread in range(THREADS)
        for pixels, _ in itertools.islice(tiles(thread), TILES_BEFORE_A_CUT)
        for content in (pixels, newer_pixels(pixels))
    }
    placed = list(root.glob("imported/*/*/*.jpg"))
    assert placed
    assert [str(path) for path in placed if path.read_bytes() not in written] == []


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("way", ["one", "ahead"])
def test_a_sync_that_does_nothing_is_found_out(make_device: DeviceMaker, kind: str, way: str) -> None:
    if STRACE is None:
        pytest.skip("needs strace to keep system calls from being made")
    device = make_device(kind)
    chance = random_of(f"lies about fsync to {way} on {kind}")
    lie = (STRACE, "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:retval=0")
    assert any(lost_of(write_until_a_cut(device, way, chance, *lie)) for _ in range(10))


@pytest.mark.parametrize("ahead", [False, True])
def test_a_batch_on_a_disk_below_the_root_is_durable_there(
    make_device: DeviceMaker, tmp_path: Path, ahead: bool
) -> None:
    """Another disk may hold the tiles of one source; the sync of the root's does not reach it."""
    device = make_device("ext4")
    below = attrs.evolve(device, mount=tmp_path / "tiles" / "imported")
    below.mount.parent.mkdir()
    batch = list(itertools.islice(tiles(0), 40))
    with below.inserted():
        with FilesystemTileFiles(below.mount.parent) as files:
            staged = [files.stage(*tile) for tile in batch]
            with files.prewriting(staged) if ahead else nullcontext():
                assert files.place_many(staged) == [None] * len(batch)
            below.cut_power()
        del staged
        until_done("umount", str(below.mount))
        device.unplug()
        device.plug_in()
        placed = {
            str(device.mount / tile_path(metadata.tile_id).tile.removeprefix("imported/")): metadata
            for _, metadata in batch
        }
        assert lost_of({path: metadata.content_sha256 for path, metadata in placed.items()}) == []


def test_an_ext4_without_a_journal_is_not_taken_for_one_with(make_device: DeviceMaker) -> None:
    assert not make_device("ext4", "-O", "^has_journal").syncs_names()
