"""The private folder of the server's Unix socket, inside the data folder or elsewhere under a short path."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from ...domain.errors import RuntimeNotAvailableError
from .account import ServerAccount
from .owned_files import make_owned_folder

PORT = 5432  # names the socket file; nothing listens on a network
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_LONGEST_SOCKET_PATH = 107  # bytes: sockaddr_un.sun_path of Linux, less its closing NUL


def prepare_socket_folder(data_folder: Path, account: ServerAccount) -> Path:
    """Make the folder and remove stale sockets from it; call only while no server lives.

    Raises `OSError`, `RuntimeNotAvailableError` when the folder is not private to the account.
    """
    folder = data_folder / "run"
    if not _can_hold_socket(folder):
        folder = _short_folder(data_folder, account.uid)
    with contextlib.suppress(FileExistsError):
        make_owned_folder(folder, account.uid, account.gid)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != account.uid or facts.st_mode & 0o077:
        raise RuntimeNotAvailableError(
            f"the socket folder {folder} is not a private folder of uid {account.uid}",
            remedy=f"remove {folder}, or choose another data folder",
        )
    for name in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
        (folder / name).unlink(missing_ok=True)
    return folder


def remove_socket_folder(folder: Path, data_folder: Path) -> None:
    """Remove a socket folder outside the data folder, once the server has stopped. Never raises."""
    if folder.parent != data_folder:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _can_hold_socket(folder: Path) -> bool:
    """Whether the kernel, PostgreSQL and libpq all accept the path of a socket in `folder`."""
    path = os.fsencode(folder / _SOCKET_NAME)
    # PostgreSQL and libpq split lists of folders at commas, and PostgreSQL strips quotes.
    return len(path) <= _LONGEST_SOCKET_PATH and path.isascii() and not set(path) & set(b',"')


def _short_folder(data_folder: Path, uid: int) -> Path:
    name = f"aerotile-{uid}-{hashlib.sha256(os.fsencode(data_folder)).hexdigest()[:16]}"
    bases = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]
    for base in bases:
        if base and Path(base).is_dir() and os.access(base, os.W_OK) and _can_hold_socket(Path(base) / name):
            return Path(base) / name
    raise RuntimeNotAvailableError(
        f"no place for the socket of {data_folder}: every candidate's path is too long",
        remedy="set XDG_RUNTIME_DIR to a short folder of your own",
    )
