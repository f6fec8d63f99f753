"""Folders whose names survive a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from .ownership import give_to_folders_owner

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOTHING_TO_SYNC = frozenset({errno.EACCES, errno.EROFS, errno.EINVAL})
"""What a parent answers in which this process can make no folder, or whose file system syncs no folders."""


def sync_folder(folder: Path | int) -> None:
    """Make the names in a folder, given by path or descriptor, durable. Raises `OSError`."""
    if isinstance(folder, int):
        os.fsync(folder)
        return
    descriptor = os.open(folder, _FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder_durably(folder: Path, mode: int, *, parent_mode: int | None = None) -> None:
    """Make a folder and the parents that it lacks, each synced into its own parent. Raises `OSError`.

    A folder that exists is synced into its parent too: who made it may not have synced it yet. A file in
    its place is found out by the caller who opens the folder. Parents get `parent_mode`, by default `mode`.
    A umask takes rights away from both modes.
    """
    if folder.is_dir():
        _sync_name(folder)
        return
    make_folder_durably(folder.parent, mode if parent_mode is None else parent_mode)
    parent = os.open(folder.parent, _FLAGS)
    try:
        make_folder_in(parent, folder.name, mode)
    finally:
        os.close(parent)


def _sync_name(folder: Path) -> None:
    try:
        sync_folder(folder.parent)
    except OSError as error:
        if error.errno not in _NOTHING_TO_SYNC:
            raise


def make_folder_in(parent: int, name: str, mode: int, *, durable: bool = True) -> None:
    """Make folder `name` in the open folder `parent` unless the name is taken. Raises `OSError`.

    It belongs to the owner of `parent`, also where this process is root. `durable` syncs the parent, also
    when another process made the folder: it may not have synced it yet.
    """
    is_new = True
    try:
        os.mkdir(name, mode=mode, dir_fd=parent)
    except FileExistsError:
        is_new = False
    if is_new:
        try:
            give_to_folders_owner(name, parent)
        except BaseException:
            os.rmdir(name, dir_fd=parent)
            raise
    if not durable:
        return
    try:
        os.fsync(parent)
    except OSError:
        # A second sync of the same parent may succeed although the first one lost the name. Only a folder
        # that is made anew has its name written anew. A writer that was faster makes the folder again too.
        if is_new:
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=parent)
        raise


def publish_folder(folder: Path, target: Path) -> None:
    """Rename a folder whose files are synced, durably. Raises `OSError`.

    A crash leaves the folder under its old name or under the new one, with all its files.
    """
    sync_folder(folder)
    folder.rename(target)
    sync_folder(target.parent)
