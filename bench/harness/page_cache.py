"""Bringing memory into the same state for every subject: files in the page cache, and free pages at hand."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

_PART_BYTES = 1 << 20


def fill_page_cache(path: Path) -> None:
    """Read a file, or every file below a folder, so that the page cache has it.

    On machines whose host takes the page cache back (balloons, memory control), what was written minutes ago
    is on the disk alone by now. Sidecars are left out: no reader looks at them.
    """
    buffer = bytearray(_PART_BYTES)
    files = (
        [str(path)]
        if path.is_file()
        else (f"{folder}/{name}" for folder, _, names in os.walk(path) for name in names)
    )
    for file in files:
        if file.endswith(".sha256"):
            continue
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except OSError:
            continue  # a socket, or gone meanwhile
        while os.readv(descriptor, [buffer]) == _PART_BYTES:
            pass
        os.close(descriptor)


def touch_free_memory(size: int) -> None:
    """Have `size` bytes of free memory come from the host, for a subject that will write so much.

    A virtual machine that reports its free pages gives them up after some seconds, and its next write waits
    for the host at every page: seen, 50 us for 30 KB in place of 6. Who writes first, or just after a large
    file was removed, must not decide.
    """
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()
