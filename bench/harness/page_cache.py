"""Filling the page cache, where a path is defined as warm."""

from __future__ import annotations

import os
from pathlib import Path

_PART_BYTES = 1 << 20


def fill_page_cache(path: Path) -> None:
    """Read a file, or every file below a folder, so that the page cache has it.

    On machines whose host takes the page cache back (balloons, memory control), what was written minutes ago
    is on the disk alone by now.
    """
    buffer = bytearray(_PART_BYTES)
    files = (
        [path]
        if path.is_file()
        else (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    )
    for file in files:
        if not file.is_file():
            continue  # a socket, or gone meanwhile
        with file.open("rb", buffering=0) as opened:
            while opened.readinto(buffer):
                pass
