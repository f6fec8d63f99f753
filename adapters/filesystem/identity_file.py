"""The identity of the store that owns a folder of tiles: one UUID on one line of a file in the root."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from ...domain.errors import StoreUnavailableError
from ..files.atomic_file import atomic_file
from ..files.file_lock import lock_open_file
from ..files.regular_file import read_regular
from .errors import disk_errors
from .folders import OpenFolder, open_again

IDENTITY_NAME = ".aerotile-store"

_MAX_BYTES = 1 << 16
_MODE = 0o440


def read_identity(root: OpenFolder, root_path: Path) -> UUID | None:
    """The UUID in the file; None when there is no file.

    Raises `StoreUnavailableError` when the file can't be read, is a link, or is not exactly one UUID's line.
    """
    path = root_path / IDENTITY_NAME
    with disk_errors("read", path):
        try:
            line = read_regular(IDENTITY_NAME, _MAX_BYTES, dir_fd=root.fileno())
        except FileNotFoundError:
            return None
    return _identity_of(line, path)


def identity_of_folder(root_path: Path) -> UUID | None:
    """As `read_identity`, of a folder that need not be there and is not opened as a store's."""
    path = root_path / IDENTITY_NAME
    with disk_errors("read", path):
        try:
            line = read_regular(path, _MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
    return _identity_of(line, path)


def _identity_of(line: bytes, path: Path) -> UUID:
    try:
        identity = UUID(line.decode("ascii").rstrip("\n"))
    except ValueError:
        identity = None
    if identity is None or line != _line(identity):
        raise StoreUnavailableError(
            f"{path} is damaged, so that the database of the tiles there is unknown",
            remedy="if they were written with the database that the configuration names, remove that file "
            "and open the store again",
        )
    return identity


def claim_identity(root: OpenFolder, root_path: Path, identity: UUID) -> UUID:
    """Write the file, durably, unless it exists; return the UUID in it. Raises `StoreUnavailableError`."""
    with disk_errors("write", root_path / IDENTITY_NAME):
        # A descriptor of its own, whose lock keeps other processes and threads out and ends with it.
        folder = open_again(root)
        lock_open_file(folder.fileno(), wait=True)
        owner = read_identity(root, root_path)
        if owner is not None:
            return owner
        with atomic_file(
            IDENTITY_NAME, _MODE, ignore_umask=True, is_new=True, dir_fd=folder.fileno()
        ) as file:
            file.write(_line(identity))
    return identity


def _line(identity: UUID) -> bytes:
    return f"{identity}\n".encode("ascii")
