"""The server's Unix socket: always in folder `run` of the data folder, so that nothing else can take it away.

A folder of the session or of the system would not do: a logout removes /run/user/UID, a cleaner empties /tmp,
and a service with PrivateTmp sees a /tmp of its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ...domain.errors import RuntimeNotAvailableError
from .account import ServerAccount
from .owned_files import make_owned_folder

PORT = 5432  # names the socket file; nothing listens on a network
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_LONGEST_SOCKET_PATH = 107  # bytes: sockaddr_un.sun_path of Linux, less its closing NUL


class SocketFolder:
    """Folder `run` of a data folder, as server and client name it.

    A path that a socket can't have (too long, not ASCII, with a comma) is avoided: the server starts from its
    working folder, the cluster, and a client from a descriptor of the data folder, which this object holds.
    """

    def __init__(self, data_folder: Path) -> None:
        self.path = data_folder / "run"
        self.socket = self.path / _SOCKET_NAME
        self._has_usable_path = _can_hold_socket(self.path)
        self._descriptor: int | None = None

    @property
    def name_for_server(self) -> str:
        """The folder, as a server whose working folder is the cluster finds it."""
        return str(self.path) if self._has_usable_path else f"../{self.path.name}"

    @property
    def host(self) -> str:
        """The folder, as a client in this process finds it until `close`. Raises `OSError`."""
        if self._has_usable_path:
            return str(self.path)
        if self._descriptor is None:
            self._descriptor = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}/{self.path.name}"

    def prepare(self, account: ServerAccount) -> None:
        """Make the folder and remove stale sockets from it; call only while no server lives.

        Raises `OSError`, `RuntimeNotAvailableError` when the folder is not private to the account.
        """
        with contextlib.suppress(FileExistsError):
            make_owned_folder(self.path, account.uid, account.gid)
        facts = self.path.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != account.uid or facts.st_mode & 0o077:
            raise RuntimeNotAvailableError(
                f"the socket folder {self.path} is not a private folder of uid {account.uid}",
                remedy=f"remove {self.path}, or choose another data folder",
            )
        for path in (self.socket, self.socket.with_name(f"{_SOCKET_NAME}.lock")):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _can_hold_socket(folder: Path) -> bool:
    """Whether the kernel, PostgreSQL and libpq all accept the path of a socket in `folder`."""
    path = os.fsencode(folder / _SOCKET_NAME)
    # PostgreSQL and libpq split lists of folders at commas, and PostgreSQL strips quotes.
    return len(path) <= _LONGEST_SOCKET_PATH and path.isascii() and not set(path) & set(b',"')
