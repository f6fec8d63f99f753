"""The data folder of an embedded server: its files, their owner, and the server that runs on them."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from ...domain.errors import RuntimeNotAvailableError, StoreUnavailableError
from ..files.atomic_file import atomic_file
from ..files.durable_folder import make_folder_durably
from ..files.file_lock import FileLock, is_free
from ..files.regular_file import read_regular
from .owned_files import FILE_MODE, open_owned
from .running_server import RunningServer
from .server_log import ServerLog

_FOLDER_MODE = 0o711
# Not as wide as a umask may allow: who may write into a parent may put another folder in the place of this
# one. Other users may pass through, since the server does not always run as the owner.
_PARENT_MODE = 0o755
_LONGEST_STATE = 1 << 16  # bytes of any file below that is read whole
_LONGEST_CLUSTER_PATH = 1_000
"""Bytes: PostgreSQL's MAXPGPATH is 1,024, with the names of files in it and a closing NUL."""
_PASSWORD = re.compile(r"[ -~]+")
_PID = re.compile(rb"-?([1-9][0-9]{0,9})")
"""Negative: PostgreSQL in single-user mode, as for a repair; it may live without holding the server lock."""


class DataFolder:
    """The files of an embedded server, below one folder.

    cluster/        PostgreSQL's data folder, 0700
    cluster.new/    a cluster in the making; only a finished one is renamed to `cluster`
    run/            the socket, 0700
    password        the superuser's password, 0600
    server.log      the server's messages; server.log.1 is the older part
    turn.lock       held while a process starts or stops the server
    claims.lock     shared by the processes that use the server
    server.lock     held by the server's own processes, as long as one of them lives
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cluster = path / "cluster"
        self.new_cluster = path / "cluster.new"
        self.password_file = path / "password"
        self.log = ServerLog(path / "server.log")
        self.turn_lock = path / "turn.lock"
        self.claims_lock = path / "claims.lock"
        self.server_lock = path / "server.lock"

    def prepare(self) -> None:
        """Make the folder and the lock files where they are missing.

        Raises `RuntimeNotAvailableError` for a path that is too long for PostgreSQL, `OSError`.
        """
        length = len(os.fsencode(self.new_cluster))
        if length > _LONGEST_CLUSTER_PATH:
            raise RuntimeNotAvailableError(
                f"{self.new_cluster} is a path of {length} bytes, and the embedded PostgreSQL takes "
                f"{_LONGEST_CLUSTER_PATH} at most",
                remedy="use a root with a shorter path, or set a DSN",
            )
        make_folder_durably(self.path, _FOLDER_MODE, parent_mode=_PARENT_MODE)
        for lock in (self.turn_lock, self.claims_lock, self.server_lock):
            os.close(open_owned(lock, os.O_RDWR | os.O_CREAT))

    def prepare_password(self) -> None:
        """Choose the password before the first cluster is made. Raises `OSError`, `StoreUnavailableError`."""
        if os.path.lexists(self.password_file):
            self.password()
            return
        if self.cluster.exists():
            raise StoreUnavailableError(
                f"the password of the database in {self.path} is missing: no file {self.password_file}",
                remedy="restore the file, or set a DSN",
            )
        with atomic_file(self.password_file, FILE_MODE, is_new=True) as file:
            file.write(secrets.token_urlsafe(32).encode("ascii"))

    def password(self) -> str:
        """The superuser's password. Raises `OSError`, `StoreUnavailableError` when the file holds none."""
        password = read_regular(self.password_file, _LONGEST_STATE).decode("ascii", "replace").strip()
        if not _PASSWORD.fullmatch(password):
            raise StoreUnavailableError(
                f"{self.password_file} holds no password", remedy="restore the file, or set a DSN"
            )
        return password

    def server_is_alive(self) -> bool:
        """Whether any process of the server lives, answering or not. Raises `OSError`."""
        return not is_free(self.server_lock)

    def take_server_lock(self) -> FileLock | None:
        """The server lock, for a new server to inherit; None when a server lives. Raises `OSError`."""
        lock = FileLock(self.server_lock)
        if not lock.try_acquire():
            return None
        try:
            # The last server's facts are no longer true, and may be from before a reboot.
            os.truncate(lock.descriptor, 0)
        except OSError:
            lock.release()
            raise
        return lock

    def running_server(self) -> RunningServer | None:
        """The server as it introduced itself in the server lock; None while it has not. Raises `OSError`."""
        return RunningServer.parse(read_regular(self.server_lock, _LONGEST_STATE))

    def stale_pid(self) -> int | None:
        """The pid in the cluster's own pid file, which a new server must ignore; call while no server lives.

        A file that a power cut left empty or torn is removed, since PostgreSQL refuses to start beside it. A
        whole file stays: PostgreSQL reads in it which shared memory to check for survivors. Raises `OSError`.
        """
        pid_file = self.cluster / "postmaster.pid"
        try:
            first_line = read_regular(pid_file, _LONGEST_STATE).partition(b"\n")[0]
        except FileNotFoundError:
            return None
        if named := _PID.fullmatch(first_line):
            return int(named[1])
        pid_file.unlink()
        return None

    def owns(self, pid: int) -> bool:
        """Whether a process runs as the account of this folder's server. Raises `OSError`."""
        status = Path(f"/proc/{pid}/status").read_text()
        real_uid = int(status.partition("\nUid:")[2].split()[0])
        return real_uid == self.cluster.stat().st_uid
