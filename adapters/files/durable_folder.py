"""Folders that are there after a power cut, for adapters that keep files of their own."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder_durably(folder: Path, mode: int, *, parent_mode: int | None = None) -> None:
    """Make a folder and the parents that it lacks, each synced into its own parent. Raises `OSError`.

    Parents get `parent_mode`, by default `mode`. A umask takes rights away from the modes and adds none.
    """
    if folder.is_dir():
        return
    make_folder_durably(folder.parent, mode if parent_mode is None else parent_mode)
    folder.mkdir(mode, exist_ok=True)
    try:
        sync_folder(folder.parent)
    except OSError:
        # Found there, it would be taken for durable the next time.
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
