"""Whose tiles a folder holds: the store's UUID on one line of a file in the root."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from ...domain.errors import StoreUnavailableError
from ...ext import open_beneath
from .errors import disk_errors
from .folders import OpenFolder, open_again

IDENTITY_NAME = ".aerotile-store"

_TEMPORARY_NAME = f"{IDENTITY_NAME}.tmp"
_LINE_BYTES = 37
_MODE = 0o440
_READ = os.O_RDONLY | os.O_NONBLOCK  # a FIFO in the file's place must not hang its reader
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def read_identity(root: OpenFolder, root_path: Path) -> UUID | None:
    """The UUID in the file; None when there is none.

    Raises `StoreUnavailableError` when it can't be read, is a link, or is not exactly one UUID's line.
    """
    path = root_path / IDENTITY_NAME
    with disk_errors("read", path):
        try:
            descriptor = open_beneath(root.fileno(), IDENTITY_NAME, _READ)
        except FileNotFoundError:
            return None
        try:
            line = os.read(descriptor, _LINE_BYTES + 1)
        finally:
            os.close(descriptor)
    try:
        identity = UUID(line.decode("ascii").rstrip("\n"))
    except ValueError:
        identity = None
    if identity is None or line != _line(identity):
        raise StoreUnavailableError(
            f"{path} is damaged, so that nobody knows which database the tiles there belong to",
            remedy="if they were written with the database that the configuration names, remove that file "
            "and open the store again",
        )
    return identity


def claim_identity(root: OpenFolder, root_path: Path, identity: UUID) -> UUID:
    """Write the file, durably, unless it is there; return what it holds. Raises `StoreUnavailableError`."""
    path = root_path / IDENTITY_NAME
    with disk_errors("write", path):
        # A descriptor of its own: its lock keeps other processes and threads out, and ends with it. So the
        # temporary name is ours alone, and what lies there is left from a crash.
        folder = open_again(root)
        fcntl.flock(folder.fileno(), fcntl.LOCK_EX)
        owner = read_identity(root, root_path)
        if owner is not None:
            return owner
        _unlink(folder, _TEMPORARY_NAME)
        name = _TEMPORARY_NAME
        try:
            descriptor = os.open(name, _CREATE, _MODE, dir_fd=folder.fileno())
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, _MODE)
                file.write(_line(identity))
                file.flush()
                os.fsync(descriptor)
            os.rename(name, IDENTITY_NAME, src_dir_fd=folder.fileno(), dst_dir_fd=folder.fileno())
            name = IDENTITY_NAME
            os.fsync(folder.fileno())
        except OSError:
            # A name that was not synced must not be taken for one that was, by the next one who claims.
            with suppress(OSError):
                _unlink(folder, name)
            raise
    return identity


def _unlink(folder: OpenFolder, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder.fileno())


def _line(identity: UUID) -> bytes:
    return f"{identity}\n".encode("ascii")
