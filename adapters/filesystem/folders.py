"""The store's folders: the root is held open, and folders below it are made durable before their use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ...ext import open_beneath
from ..files.durable_folder import make_folder_durably, make_folder_in
from .errors import disk_errors

_FOLDER_MODE = 0o750
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KNOWN_LIMIT = 65_536


class OpenFolder:
    """A folder's descriptor that closes with its last reference.

    An operation holds a reference. So another thread that closes the store can't free the descriptor's number
    for another file in the middle of the operation.
    """

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self.descriptor

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # at exit, `os` may be gone already
        descriptor = getattr(self, "descriptor", None)  # not there where the construction was interrupted
        if descriptor is not None:
            close(descriptor)


def open_below(folder: OpenFolder, path: str) -> OpenFolder:
    """Open a folder below another, following no symbolic link. Raises `OSError`."""
    return OpenFolder(open_beneath(folder.fileno(), path, _FLAGS))


def open_again(folder: OpenFolder) -> OpenFolder:
    """A second descriptor of the same folder, with its own position and error state. Raises `OSError`."""
    return OpenFolder(os.open(".", _FLAGS, dir_fd=folder.fileno()))


def device_of(folder: OpenFolder) -> int:
    """The device (`st_dev`) that a folder lies on. Raises `OSError`."""
    return os.fstat(folder.fileno()).st_dev


def open_root(root: Path) -> OpenFolder:
    """Open the root, making it and its parents (durably) where they are missing.

    The operator names the path, so it may lead over symbolic links. Raises `StoreUnavailableError`.
    """
    with disk_errors("open the tile folder", root):
        make_folder_durably(root, _FOLDER_MODE)
        return OpenFolder(os.open(root, _FLAGS))


class FolderMaker:
    """Makes folders below the root, and knows which of them this process has made durable.

    A folder made by another process may not be durable yet. So each process syncs the parents of a folder
    once, before the first use of the folder. Any number of threads may use a maker.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def make(self, root: OpenFolder, folder: str, *, durable: bool) -> None:
        """Make `folder` and its parents below `root` unless known.

        With `durable`, each is synced into its parent; without, the caller syncs the file system and then
        calls `learn`. Raises `OSError`.
        """
        if folder in self._known:
            return
        parent = root
        made = ""
        for name in folder.split("/"):
            made = f"{made}/{name}" if made else name
            if made not in self._known:
                make_folder_in(parent.fileno(), name, _FOLDER_MODE, durable=durable)
            parent = open_below(parent, name)
        if durable:
            self.learn(folder)

    def knows(self, folder: str) -> bool:
        """Whether `make` has nothing to do for `folder`."""
        return folder in self._known

    def learn(self, folder: str) -> None:
        """Note that `folder` and its parents are durable."""
        if len(self._known) >= _KNOWN_LIMIT:
            self._known.clear()
        while folder:
            self._known.add(folder)
            folder = folder.rpartition("/")[0]

    def forget(self) -> None:
        """Forget every folder; for when a known folder turns out to be missing."""
        self._known.clear()
