"""The filesystem's tile files on a disk that is full or fails, and the order of their syncs."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import gated_writes
import pytest
from gated_writes import STRACE, inject, needs_strace
from staged_tiles import PIXELS, TILE, TILE_PATH, files_below, stage

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.filesystem.disk import Disk
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.values.inventory import FoundKind
from aerotile.domain.values.tiles import TileId, TileSource

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")

# Run by a new interpreter, so that a tracer meets nothing but these writes.
PROLOGUE = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.filesystem.disk import Disk
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.values.tiles import TileId, TileSource

files = FilesystemTileFiles(Path(sys.argv[1]))

def stage(tile_id, pixels=example_jpeg(b"ground")):
    return files.stage(pixels, example_metadata(
        tile_id, pixels, captured_at=datetime(2024, 5, 1, tzinfo=timezone.utc), ground_sample_distance=0.6))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tiles"


run_python = partial(gated_writes.run_python, prologue=PROLOGUE)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "aerotile-test", str(mount)], check=True)
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


@needs_root
def test_a_full_disk_refuses_the_tile_and_keeps_nothing_of_it(small_disk: Path) -> None:
    pixels = example_jpeg(bytes(100_000))
    with FilesystemTileFiles(small_disk) as files:
        tiles = [TileId(3, 1, y, TileSource.IMPORTED) for y in range(3)]
        for tile_id in tiles[:2]:
            files.place(stage(files, tile_id, pixels))
        with pytest.raises(StoreUnavailableError, match="No space left on device") as caught:
            files.place(stage(files, tiles[2], pixels))
        assert "free space" in (caught.value.remedy or "")
        assert {found.tile_id for found in files.inventory()} == set(tiles[:2])
        files.remove(tiles[0])
        files.place(stage(files, TILE, pixels))
        assert files.exists(TILE)


@needs_root
def test_a_full_disk_refuses_single_tiles_of_a_batch(small_disk: Path) -> None:
    pixels = example_jpeg(bytes(100_000))
    with FilesystemTileFiles(small_disk) as files:
        tiles = [TileId(3, 1, y, TileSource.IMPORTED) for y in range(8)]
        outcome = files.place_many([stage(files, tile_id, pixels) for tile_id in tiles])
        placed = {tile_id for tile_id, failure in zip(tiles, outcome, strict=True) if failure is None}
        assert 0 < len(placed) < len(tiles)
        assert {found.tile_id for found in files.inventory()} == placed
        assert {found.kind for found in files.inventory()} == {FoundKind.TILE, FoundKind.SIDECAR}


@needs_strace
@pytest.mark.parametrize(
    "fault",
    [
        "mkdirat:error=ENOSPC:when=3",
        "fsync:error=EIO:when=3",
        "fsync:error=EIO:when=4",
        "write:error=ENOSPC:when=2",
        "renameat,renameat2:error=EIO:when=2",
    ],
)
def test_a_disk_that_fails_a_write_leaves_nothing_behind(root: Path, fault: str) -> None:
    root.mkdir(parents=True)
    script = """
try:
    files.place(stage(TileId(3, 1, 5, TileSource.IMPORTED)))
except StoreUnavailableError as error:
    print(error, "|", error.remedy)
"""
    printed = run_python(script, root, under=inject(fault))
    assert re.fullmatch(r"cannot write tile file \S+5\.jpg: .+ \| .+\n", printed)
    assert files_below(root) == set()


@needs_strace
@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ("syncfs:error=EIO:when=1", 3),
        ("syncfs:error=EIO:when=2", 3),
        ("write:error=ENOSPC:when=3", 1),
        ("renameat,renameat2:error=EIO:when=2", 1),
    ],
)
def test_a_disk_that_fails_a_batch_leaves_nothing_of_the_failed_tiles(
    root: Path, fault: str, failed: int
) -> None:
    root.mkdir(parents=True)
    script = """
outcome = files.place_many([stage(TileId(3, x, 5, TileSource.IMPORTED)) for x in range(3)])
print(sum(failure is not None for failure in outcome))
"""
    assert run_python(script, root, under=inject(fault)) == f"{failed}\n"
    assert len(files_below(root)) == 2 * (3 - failed)


@needs_strace
@pytest.mark.parametrize(
    ("fault", "at_most"),
    [
        ("syncfs:error=EIO:when=1", 40),
        ("write:error=ENOSPC:when=3", 4),
        ("renameat,renameat2:error=EIO:when=4", 4),
        ("openat2:error=EMFILE:when=2", 39),
    ],
)
def test_a_disk_that_fails_what_is_written_ahead_leaves_nothing_of_the_failed_tiles(
    root: Path, fault: str, at_most: int
) -> None:
    # Each thread's own call fails, and nobody knows which threads there are.
    root.mkdir(parents=True)
    script = """
batch = [stage(TileId(6, x, 5, TileSource.IMPORTED)) for x in range(40)]
with files.prewriting(batch):
    outcome = files.place_many(batch)
print(sum(failure is not None for failure in outcome))
"""
    failed = int(run_python(script, root, under=inject(fault)))
    assert 0 < failed <= at_most
    assert len(files_below(root)) == 2 * (40 - failed)
    assert failed == 40 or "syncfs" not in fault


@needs_strace
def test_a_failed_restore_keeps_the_old_sidecar(root: Path) -> None:
    with FilesystemTileFiles(root) as files:
        files.place(stage(files))
    script = """
try:
    files.restore_sidecar(TileId(3, 1, 5, TileSource.IMPORTED), "0" * 64)
except StoreUnavailableError as error:
    print(error)
"""
    # The first sync is that of the root's own name.
    assert "cannot write sidecar" in run_python(script, root, under=inject("fsync:error=EIO:when=2"))
    assert files_below(root) == {TILE_PATH, TILE_PATH + ".sha256"}
    assert (root / (TILE_PATH + ".sha256")).read_text().startswith(hashlib.sha256(PIXELS).hexdigest())


@needs_strace
def test_folders_are_synced_into_their_parents_once_and_before_the_tile(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "trace"
    script = """
for y in (5, 6):
    files.place(stage(TileId(3, 1, y, TileSource.IMPORTED)))
"""
    assert STRACE is not None
    calls = "mkdir,mkdirat,fsync,fdatasync,sync_file_range,renameat,renameat2"
    run_python(
        script, root, under=(STRACE, "-f", "-y", "-o", str(log), "--seccomp-bpf", "-e", f"trace={calls}")
    )
    where = re.compile(re.escape(f"<{tmp_path}") + "(.*?)>")
    told = []
    for line in log.read_text().splitlines():
        call = line.split("(")[0].split()[-1]
        at = where.search(line)
        if call in ("fsync", "fdatasync", "sync_file_range") and at is not None:
            told.append((call, re.sub(r"\.[0-9]+-[0-9a-f]+-[0-9]+\.tmp", "", at[1])))
        elif call.startswith("rename"):
            told.append(("rename", ""))
    tile = "/data/tiles/imported/3/1"

    one_sync = Disk.of(os.open(root, os.O_RDONLY)).name_syncing_device != 0

    def one_tile(y: int) -> list[tuple[str, str]]:
        return [
            ("sync_file_range", f"{tile}/.{y}.jpg.sha256"),
            ("sync_file_range", f"{tile}/.{y}.jpg"),
            ("rename", ""),
            ("rename", ""),
            ("fsync", f"{tile}/{y}.jpg"),
            *([] if one_sync else [("fsync", tile)]),
        ]

    assert told == [
        ("fsync", ""),
        ("fsync", "/data"),
        ("fsync", "/data/tiles"),
        ("fsync", "/data/tiles/imported"),
        ("fsync", "/data/tiles/imported/3"),
        *one_tile(5),
        *one_tile(6),
    ]
