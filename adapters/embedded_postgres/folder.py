"""The data folder of an embedded server: what lies where, whose it is, and which server serves it now."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path

import attrs

from ...domain.errors import RuntimeNotAvailableError, StoreUnavailableError
from ..files.atomic_file import atomic_file
from ..files.durable_folder import make_folder_durably
from ..files.file_lock import FileLock, is_free
from ..files.regular_file import open_regular, read_regular
from .account import ServerAccount

PORT = 5432  # names the socket file; nothing listens on a network
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_LONGEST_SOCKET_PATH = 107  # bytes: sockaddr_un.sun_path of Linux, less its closing NUL
_LONGEST_LOG = 1 << 20  # bytes
# Whatever the umask: who may write into a parent may put another folder in the place of this one. Others may
# pass through, since the server is not always the owner's.
_PARENT_MODE = 0o755
_FILE_MODE = 0o600
_LONGEST_STATE = 1 << 16  # bytes of any file below that is read whole
_PASSWORD = re.compile(r"[ -~]+")
_PID = re.compile(rb"[1-9][0-9]{0,9}")
# Less the answer to a client that came too early, which is no failure.
_FAILURE = re.compile(r"(?:FATAL|PANIC|error|launcher): +(?!the database system is )(.*)")


@attrs.frozen
class RunningServer:
    """The process that holds the server lock, as it introduced itself."""

    boot_id: str
    pid: int
    start_ticks: int
    socket_folder: Path

    @property
    def is_on_this_machine(self) -> bool:
        """False when another machine reaches the same folder over a network file system."""
        return self.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    @property
    def is_visible(self) -> bool:
        """Whether its pid means that very process here: same boot, same start time."""
        try:
            status = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return self.is_on_this_machine and int(status.rpartition(")")[2].split()[19]) == self.start_ticks


class DataFolder:
    """Everything that an embedded server keeps, below one folder.

    cluster/        PostgreSQL's data folder, 0700
    cluster.new/    a cluster in the making; only a finished one is renamed to `cluster`
    run/            the socket, 0700; elsewhere when its path would be too long for a socket
    password        the superuser's password, 0600
    server.log      what the server says; server.log.1 is the older half
    turn.lock       held while a process starts or stops the server
    claims.lock     shared by the processes that use the server
    server.lock     held by the server's own processes, as long as one of them lives
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cluster = path / "cluster"
        self.new_cluster = path / "cluster.new"
        self.password_file = path / "password"
        self.log = path / "server.log"
        self.turn_lock = path / "turn.lock"
        self.claims_lock = path / "claims.lock"
        self.server_lock = path / "server.lock"

    def prepare(self) -> None:
        """Make the folder and the lock files where they are missing. Raises `OSError`."""
        make_folder_durably(self.path, 0o711, parent_mode=_PARENT_MODE)
        for lock in (self.turn_lock, self.claims_lock, self.server_lock):
            os.close(self._open_owned(lock, os.O_RDWR | os.O_CREAT))

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
        facts = self.path.stat()
        owner = (facts.st_uid, facts.st_gid) if os.geteuid() == 0 else None
        with atomic_file(self.password_file, _FILE_MODE, is_new=True, owner=owner) as file:
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
        """The server lock, to be handed to a new server; None when one lives. Raises `OSError`."""
        lock = FileLock(self.server_lock)
        if not lock.try_acquire():
            return None
        try:
            # What the last server wrote is no longer true, and may be from before a reboot.
            os.truncate(lock.descriptor, 0)
        except OSError:
            lock.release()
            raise
        return lock

    def running_server(self) -> RunningServer | None:
        """What the holder of the server lock wrote into it; None while it has not. Raises `OSError`."""
        try:
            facts = json.loads(read_regular(self.server_lock, _LONGEST_STATE))
            return RunningServer(
                str(facts["boot_id"]),
                int(facts["pid"]),
                int(facts["start_ticks"]),
                Path(facts["socket_folder"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None

    def stale_pid(self) -> int | None:
        """The pid in the cluster's own pid file, for a server to overlook; call only while no server lives.

        A file that a power cut left empty or torn is removed, since PostgreSQL refuses to start over it. A
        whole one stays: PostgreSQL reads there which shared memory to check for survivors. Raises `OSError`.
        """
        pid_file = self.cluster / "postmaster.pid"
        try:
            first_line = read_regular(pid_file, _LONGEST_STATE).partition(b"\n")[0]
        except FileNotFoundError:
            return None
        if _PID.fullmatch(first_line):
            return int(first_line)
        pid_file.unlink()
        return None

    def prepare_socket_folder(self, account: ServerAccount) -> Path:
        """The private folder for the socket, empty of stale sockets; call only while no server lives.

        Raises `OSError`, `RuntimeNotAvailableError` when somebody else has taken the place.
        """
        folder = self.path / "run"
        if not can_hold_socket(folder):
            folder = _short_socket_folder(self.path, account.uid)
        try:
            folder.mkdir(0o700)
            _give(folder, account.uid, account.gid)
        except FileExistsError:
            pass
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != account.uid or facts.st_mode & 0o077:
            raise RuntimeNotAvailableError(
                f"the socket folder {folder} is not a private folder of uid {account.uid}",
                remedy=f"remove {folder}, or choose another data folder",
            )
        for name in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
            (folder / name).unlink(missing_ok=True)
        return folder

    def remove_socket_folder(self, folder: Path) -> None:
        """Leave nothing outside the data folder once the server has stopped."""
        if folder.parent != self.path:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def open_log(self) -> int:
        """A descriptor that appends to the log. Raises `OSError`."""
        return self._open_owned(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def bound_log(self) -> None:
        """Set a long log aside, under a running server too: its next line starts anew. Raises `OSError`."""
        try:
            log = os.fdopen(self._open_owned(self.log, os.O_RDWR), "rb+")
        except FileNotFoundError:
            return
        with log:
            if os.fstat(log.fileno()).st_size <= _LONGEST_LOG:
                return
            older = self.path / "server.log.1"
            older.unlink(missing_ok=True)
            with os.fdopen(self._open_owned(older, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as copy:
                log.seek(-_LONGEST_LOG, os.SEEK_END)
                copy.write(log.read(_LONGEST_LOG))
            log.truncate(0)

    def log_size(self) -> int:
        """Length of the log in bytes. Raises `OSError`."""
        return self.log.stat().st_size if self.log.exists() else 0

    def complaint_in_log(self, since: int) -> str:
        """What the log's lines after byte `since` complain of. Raises `OSError`."""
        with os.fdopen(self._open_owned(self.log, os.O_RDONLY), "rb") as log:
            log.seek(since)
            return complaint_in(log.read(_LONGEST_LOG).decode(errors="replace"))

    def owns(self, pid: int) -> bool:
        """Whether a process runs as the account that this folder's server does. Raises `OSError`."""
        status = Path(f"/proc/{pid}/status").read_text()
        real_uid = int(status.partition("\nUid:")[2].split()[0])
        return real_uid == self.cluster.stat().st_uid

    def _open_owned(self, path: Path, flags: int) -> int:
        """Open a file of ours, and nothing that the folder's owner put in its place. Raises `OSError`.

        The owner may be an ordinary user, and we root.
        """
        descriptor = open_regular(path, flags, mode=_FILE_MODE)
        try:
            owner = self.path.stat()
            if os.fstat(descriptor).st_nlink != 1 and owner.st_uid != os.geteuid():
                raise OSError(errno.EINVAL, "something else was put in its place", str(path))
            if os.geteuid() == 0:
                # What root makes in somebody's folder belongs to its owner, who is locked out otherwise.
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def can_hold_socket(folder: Path) -> bool:
    """Whether a socket in `folder` has a path that the kernel, PostgreSQL and libpq all take."""
    path = os.fsencode(folder / _SOCKET_NAME)
    # Both ends split lists of folders at commas, and PostgreSQL strips quotes.
    return len(path) <= _LONGEST_SOCKET_PATH and path.isascii() and not set(path) & set(b',"')


def complaint_in(output: str) -> str:
    """The first failure that a PostgreSQL program names in its output, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    failures = [match[1] for match in map(_FAILURE.search, lines) if match]
    return failures[0] if failures else lines[-1] if lines else "it said nothing"


def _short_socket_folder(data_folder: Path, uid: int) -> Path:
    name = f"aerotile-{uid}-{hashlib.sha256(os.fsencode(data_folder)).hexdigest()[:16]}"
    bases = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]
    for base in bases:
        if base and Path(base).is_dir() and os.access(base, os.W_OK) and can_hold_socket(Path(base) / name):
            return Path(base) / name
    raise RuntimeNotAvailableError(
        f"no place for the socket of {data_folder}: every candidate's path is too long",
        remedy="set XDG_RUNTIME_DIR to a short folder of your own",
    )


def _give(path: Path, uid: int, gid: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, uid, gid, follow_symlinks=False)
