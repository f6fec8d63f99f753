"""A folder with one tile to map, every way to read the tile, and an interpreter of its own that maps it."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import (
    map_cached_tile,
    map_tile,
    read_cached_tile,
    read_tile,
)

CONTENT = bytes(range(256)) * 33
PYBUF_WRITABLE = 1
FLIGHT = UUID("01234567-89ab-4def-8123-456789abcdef")
TILE = TileId(3, 1, 5, TileSource.IMPORTED)
MISSING = TileId(3, 1, 6, TileSource.IMPORTED)
PATH = "imported/3/1/5.jpg"
# A statement per line, run by a new interpreter with the folder as its argument.
PROLOGUE = """
import os, sys
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import map_tile, open_beneath
folder = os.open(sys.argv[1], os.O_RDONLY)
tile = TileId(3, 1, 5, TileSource.IMPORTED)
"""
needs_a_disk = pytest.mark.skipif(
    os.major(Path(tempfile.gettempdir()).stat().st_dev) == 0,
    reason="needs a temporary folder on a block device, whose pages can be dropped",
)


def opens_from_the_caches() -> bool:
    """Whether the kernel, asked without our code, opens a path from its caches alone."""
    openat2, resolve_cached = 437, 0x20
    how = struct.pack("QQQ", os.O_RDONLY | os.O_CLOEXEC, 0, resolve_cached)
    descriptor = ctypes.CDLL(None).syscall(openat2, -1, b"/", how, len(how))
    if descriptor < 0:
        return False
    os.close(descriptor)
    return True


needs_cached_opens = pytest.mark.skipif(
    not opens_from_the_caches(), reason="needs a kernel that opens from its caches alone: Linux 5.12 or newer"
)
Read = Callable[[int, TileId], object]
READS = [
    map_tile,
    pytest.param(map_cached_tile, marks=needs_cached_opens),
    read_tile,
    pytest.param(read_cached_tile, marks=needs_cached_opens),
]


def run_python(script: str, root: Path, *, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*under, sys.executable, "-c", PROLOGUE + script, str(root)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def maps_of(path: Path) -> int:
    return Path("/proc/self/maps").read_text().count(str(path))
