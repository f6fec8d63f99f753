"""Giving a tile's name to newer imagery that lies beside the tile, and other changes of names in a folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ..files.atomic_file import atomic_file
from ..files.durable_folder import sync_folder
from .folders import OpenFolder
from .layout import TilePath, second_name, sidecar_line, temporary_name

_T = TypeVar("_T")
_PLACED_MODE = 0o440
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
"""What a file system answers that gives no file a further name."""


def take_place(folder: OpenFolder, path: TilePath, content_sha256: str) -> bool:
    """See `TileFiles.take_place`. Raises `OSError`.

    The second name goes last, when the tile's name is durable: a file system without a journal may lose any
    part of a rename, and so the second name with it.
    """
    second, dir_fd = second_name(path.name, content_sha256), folder.fileno()
    if not _again_when_discarded(partial(_rename_second, dir_fd, second, path.name)):
        return False
    try:
        put_small_file(folder, path.sidecar_name, sidecar_line(content_sha256, path.name).encode("ascii"))
    except OSError:  # a full disk, or a folder in its place: a wrong one goes, the next open restores it
        with suppress(OSError):
            unlink(folder, path.sidecar_name)
    sync_folder(dir_fd)
    unlink(folder, second)
    return True


def _rename_second(dir_fd: int, second: str, name: str) -> bool:
    """Give the file at `second` the name; False: there is none."""
    temporary = temporary_name(name)
    try:
        os.link(second, temporary, src_dir_fd=dir_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(second, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    else:
        try:
            os.rename(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        finally:
            with suppress(FileNotFoundError):  # a rename between two names of one file does nothing
                os.unlink(temporary, dir_fd=dir_fd)
    return True


def _again_when_discarded(place: Callable[[], _T]) -> _T:
    """Call once more where another process's recovery discarded the temporary: it lists no later one."""
    try:
        return place()
    except FileNotFoundError:
        return place()


def unlink(folder: OpenFolder, name: str) -> bool:
    """Unlink and say whether the file was there. Raises `OSError`."""
    try:
        os.unlink(name, dir_fd=folder.fileno())
    except FileNotFoundError:
        return False
    return True


def put_small_file(folder: OpenFolder, name: str, content: bytes) -> None:
    """Put a small file in place, durably; see `atomic_file`. Raises `OSError`."""

    def put() -> None:
        temporary, dir_fd = temporary_name(name), folder.fileno()
        with atomic_file(name, _PLACED_MODE, ignore_umask=True, temporary=temporary, dir_fd=dir_fd) as file:
            file.write(content)

    _again_when_discarded(put)
