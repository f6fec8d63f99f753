"""The walk in C, beyond what the file system's inventory shows of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from open_descriptors import leaving_none_open

from aerotile.domain.values.tile_key import MORTON_BITS, morton
from aerotile.ext import walk_variant

STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="needs strace to make system calls fail")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def place(zoom_level: int, x: int, y: int) -> int:
    return zoom_level << MORTON_BITS | morton(x, y)


def fill(root: Path, columns: int, rows: int) -> set[int]:
    for x in range(columns):
        (root / "18" / str(x)).mkdir(parents=True)
        for y in range(rows):
            (root / "18" / str(x) / f"{y}.jpg").touch()
            (root / "18" / str(x) / f"{y}.jpg.sha256").touch()
    return {place(18, x, y) for x in range(columns) for y in range(rows)}


def test_a_folder_of_more_than_one_block_of_entries_is_read_to_its_end(folder: int, tmp_path: Path) -> None:
    expected = fill(tmp_path, 2, 3000)
    tiles, sidecars, hidden = walk_variant(folder)
    assert (len(tiles), len(sidecars), hidden) == (6000, 6000, [])
    assert set(tiles.tolist()) == set(sidecars.tolist()) == expected


@pytest.mark.parametrize("parts", [1, 2, 3, 8, 100])
def test_the_parts_together_are_the_whole_and_share_nothing(folder: int, tmp_path: Path, parts: int) -> None:
    expected = fill(tmp_path, 11, 2)
    found = [walk_variant(folder, part, parts)[0].tolist() for part in range(parts)]
    assert sorted(place for part in found for place in part) == sorted(expected)


@pytest.mark.parametrize(("part", "parts"), [(1, 1), (-1, 4), (4, 4), (0, 0), (0, -1), (2**62, 4)])
def test_a_part_that_does_not_exist_is_refused(folder: int, part: int, parts: int) -> None:
    with pytest.raises(ValueError, match="part must be within"):
        walk_variant(folder, part, parts)


def test_what_is_no_open_folder_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    with pytest.raises(NotADirectoryError):
        walk_variant(descriptor)
    os.close(descriptor)
    for wrong in (descriptor, -1):
        with pytest.raises(OSError, match="Bad file descriptor"):
            walk_variant(wrong)
    for nonsense in (None, "folder", 2**40):
        with pytest.raises((TypeError, OverflowError)):
            walk_variant(nonsense)  # type: ignore[arg-type]  # on purpose


def test_a_walk_may_be_repeated_on_one_descriptor_and_leaves_none_open(folder: int, tmp_path: Path) -> None:
    expected = fill(tmp_path, 3, 3)
    with leaving_none_open():
        for _ in range(20):
            assert set(walk_variant(folder)[0].tolist()) == expected


WALK = """
import os, sys
from aerotile.ext import walk_variant
folder = os.open(sys.argv[1], os.O_RDONLY)
try:
    tiles, sidecars, hidden = walk_variant(folder)
    print("found", len(tiles), len(sidecars))
except OSError as error:
    print(type(error).__name__, error.errno, repr(error.filename))
"""


def walked_with(fault: str, root: Path, trace: Path) -> str:
    """What a walk says while a system call fails; `fault` counts calls on folders below the root alone."""
    assert STRACE is not None
    call = fault.partition(":")[0]
    python = os.path.realpath(sys.executable) if sys.prefix == sys.base_prefix else sys.executable
    command: list[str | Path] = [
        STRACE,
        "-f",
        "-o",
        trace,
        "-P",
        root / "18" / "1",
        "-P",
        root / "18",
        "-e",
        f"trace={call}",
    ]
    command += ["-e", f"inject={fault}", python, "-c", WALK, root]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@needs_strace
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("getdents64:error=EIO:when=1", r"OSError 5 '18'"),
        ("getdents64:error=EIO:when=2", r"OSError 5 '18/1'"),
        ("getdents64:error=EINTR:when=1..2", "found 6 6"),
        ("getdents64:error=ENOENT:when=2", "found [0-6] [0-6]"),
    ],
)
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, fault: str, said: str) -> None:
    root = tmp_path / "tiles"
    root.mkdir()
    fill(root, 2, 3)
    printed = walked_with(fault, root, tmp_path / "trace")
    assert re.fullmatch(said, printed), printed
