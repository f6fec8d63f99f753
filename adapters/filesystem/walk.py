"""Walking over the store's folders without following a link."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ...domain.storage import FoundFile
from .disk_errors import store_unavailable
from .folders import OpenFolder, open_again, open_below
from .layout import found_file, may_hold_tiles

_GONE_OR_NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


def walk_files(root: OpenFolder, root_path: Path) -> Iterator[FoundFile]:
    """Every file of the store below `root`; folders that vanish meanwhile are passed by.

    Each folder is read whole and closed, so that a slow consumer holds no descriptors. Raises
    `StoreUnavailableError`.
    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            folders, files = _entries(root, folder)
        except OSError as error:
            if folder and error.errno in _GONE_OR_NO_FOLDER:
                continue
            raise store_unavailable("list folder", root_path / folder, error) from error
        waiting.extend(path for path in folders if may_hold_tiles(path))
        for path in files:
            found = found_file(path)
            if found is not None:
                yield found


def _entries(root: OpenFolder, folder: str) -> tuple[list[str], list[str]]:
    """The paths, relative to the root, of the folders and of the regular files in `folder`."""
    opened = open_below(root, folder) if folder else open_again(root)
    prefix = f"{folder}/" if folder else ""
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(opened.fileno()) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(prefix + entry.name)
            elif entry.is_file(follow_symlinks=False):
                files.append(prefix + entry.name)
    return folders, files
