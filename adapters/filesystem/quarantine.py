"""The folder for damaged tiles and for foreign things in a file's place. Its content is never changed.

.quarantine/{source}[/{flight_id}]/{zoom}/{x}/{y}.jpg[.1, .2, ...]     and the sidecar under the same number
"""

from __future__ import annotations

import itertools
import os
from contextlib import suppress

from .folders import FolderMaker, OpenFolder, open_below
from .layout import TilePath

QUARANTINE_FOLDER = ".quarantine"


def quarantine_tile(root: OpenFolder, path: TilePath) -> str | None:
    """Move a tile's file and sidecar below `QUARANTINE_FOLDER`; the file's new path relative to the root.

    None when there was no file. Durable when this returns. The caller keeps other writers of the tile out.
    Raises `OSError`; then both files are moved back, as far as the disk allows.
    """
    try:
        folder = open_below(root, path.folder)
    except FileNotFoundError:
        return None
    moved, suffix = _set_aside(root, path, folder, [path.name, path.sidecar_name])
    return f"{QUARANTINE_FOLDER}/{path.tile}{suffix}" if path.name in moved else None


def set_sidecar_aside(root: OpenFolder, path: TilePath) -> None:
    """Move the thing in a sidecar's place below `QUARANTINE_FOLDER`, durably. Raises `OSError`."""
    _set_aside(root, path, open_below(root, path.folder), [path.sidecar_name])


def _set_aside(
    root: OpenFolder, path: TilePath, folder: OpenFolder, names: list[str]
) -> tuple[set[str], str]:
    """Move the files that exist; their names, and the ending that they have now."""
    target_path = f"{QUARANTINE_FOLDER}/{path.folder}"
    FolderMaker().make(root, target_path, durable=True)
    target = open_below(root, target_path)
    suffix = _free_suffix(target, path)
    moved: set[str] = set()
    try:
        for name in names:
            if _move(folder, name, target, name + suffix):
                moved.add(name)
        os.fsync(target.fileno())
        os.fsync(folder.fileno())
    except OSError:
        for name in moved:
            with suppress(OSError):
                _move(target, name + suffix, folder, name)
        raise
    return moved, suffix


def _free_suffix(target: OpenFolder, path: TilePath) -> str:
    """An ending that no quarantined file of this tile has."""
    taken = set(os.listdir(target.fileno()))  # noqa: PTH208 - by descriptor: no link can redirect it
    endings = itertools.chain([""], (f".{number}" for number in itertools.count(1)))
    return next(ending for ending in endings if not {path.name + ending, path.sidecar_name + ending} & taken)


def _move(folder: OpenFolder, name: str, target: OpenFolder, new_name: str) -> bool:
    with suppress(FileNotFoundError):
        os.rename(name, new_name, src_dir_fd=folder.fileno(), dst_dir_fd=target.fileno())
        return True
    return False
