"""Running PostgreSQL's programs for a data folder, each through the launcher."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ...domain.errors import RuntimeNotAvailableError, StoreUnavailableError
from ..files.durable_folder import publish_folder
from ..files.file_lock import FileLock
from ..files.regular_file import read_regular
from .account import ServerAccount, possible_accounts
from .binaries import OLDEST_MAJOR, PostgresBinaries, parse_major
from .folder import DataFolder
from .owned_files import make_owned_folder
from .server_log import complaint_in
from .socket_folder import SocketFolder

logger = logging.getLogger(__name__)

SUPERUSER = "aerotile"
_LONGEST_VERSION = 64  # bytes
_SETS_ITERATIONS_SINCE = 16
"""The major version from which the rounds of the password's hash can be set. One is enough: rounds make weak
passwords costly to guess, this one is 32 random bytes, and a connection would pay 2 ms for 4,096 of them."""
_LAUNCHER = Path(__file__).with_name("launcher.py")


class ServerPrograms:
    """`initdb` and `postgres` at work on one data folder, as the account that its files ask for."""

    def __init__(self, binaries: PostgresBinaries, folder: DataFolder) -> None:
        """Find the account. Raises `RuntimeNotAvailableError` when there is none, `OSError`."""
        self._binaries = binaries
        self._folder = folder
        self._account = self._choose_account()

    def make_cluster(self, lock: FileLock, *, timeout_s: float) -> None:
        """Make a cluster beside its place, and rename it there once it is whole and durable.

        `initdb` and its children hold `lock`: a child that outlives this process keeps others from starting
        a second one. Raises `StoreUnavailableError`, `OSError`.
        """
        new = self._folder.new_cluster
        if new.exists():
            shutil.rmtree(new)
        make_owned_folder(new, self._account.uid, self._account.gid)
        command = [str(self._binaries.initdb), "-D", str(new), "--username", SUPERUSER]
        command += ["--pwfile=/dev/stdin", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--data-checksums", "--no-instructions"]
        if self._major >= _SETS_ITERATIONS_SINCE:
            command += ["-c", "scram_iterations=1"]
        password = self._password_pipe()
        try:
            completed = subprocess.run(
                self._launcher(command, lock=lock),
                stdin=password,
                capture_output=True,
                text=True,
                errors="replace",
                env=_environment(),
                pass_fds=(lock.descriptor,),
                start_new_session=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StoreUnavailableError(
                f"making the database in {self._folder.path} took longer than {timeout_s:.0f} s",
                remedy="try again with more time, or on a faster disk",
            ) from error
        finally:
            os.close(password)
        if completed.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise StoreUnavailableError(
                f"the database in {self._folder.path} could not be made: {complaint_in(completed.stderr)}",
                remedy="check that the folder is yours to write and the disk has room",
            )
        publish_folder(new, self._folder.cluster)
        logger.info("made a database in %s", self._folder.path)

    def launch(self, lock: FileLock, sockets: SocketFolder, settings: Mapping[str, str]) -> None:
        """Start a server that holds `lock` and belongs to no terminal; it may not be ready yet.

        Raises `StoreUnavailableError`, `RuntimeNotAvailableError`, `OSError`.
        """
        sockets.prepare(self._account)
        command = [str(self._binaries.postgres), "-D", str(self._folder.cluster)]
        for name, value in {**settings, "unix_socket_directories": sockets.name_for_server}.items():
            command += ["-c", f"{name}={value}"]
        environment = _environment()
        stale_pid = self._folder.stale_pid()
        if stale_pid is not None:
            # How pg_ctl tells PostgreSQL that a live pid in postmaster.pid is no server. The lock proves it.
            environment["PG_GRANDPARENT_PID"] = str(stale_pid)
        log_size = self._folder.log.size()
        log = self._folder.log.open()
        try:
            completed = subprocess.run(
                self._launcher(command, lock=lock, detach=True),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=(lock.descriptor,),
                start_new_session=True,
                check=False,
            )
        finally:
            os.close(log)
        if completed.returncode != 0:
            raise StoreUnavailableError(
                f"no server for {self._folder.path} could be launched: "
                f"{self._folder.log.complaint(log_size)}",
                remedy=f"see {self._folder.log.path}",
            )

    def _choose_account(self) -> ServerAccount:
        """The first account that can run the server program and enter the data folder."""
        refusals: list[str] = []
        for account in possible_accounts(self._folder.path, self._folder.cluster):
            self._account = account
            completed = subprocess.run(
                self._launcher([str(self._binaries.postgres), "--version"]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=_environment(),
                check=False,
            )
            major = parse_major(completed.stdout)
            if completed.returncode == 0 and major is not None:
                self._check_version(major)
                self._major = major
                if refusals:
                    logger.warning(
                        "the database in %s runs as %s: %s", self._folder.path, account, refusals[-1]
                    )
                return account
            refusals.append(f"as {account}: {' '.join(completed.stderr.split()) or 'no answer'}")
        raise RuntimeNotAvailableError(
            f"PostgreSQL in {self._binaries.folder} can't run for {self._folder.path}: {'; '.join(refusals)}",
            remedy="run as an ordinary user, or in a folder that other users can enter (not below /root), "
            "or set a DSN",
        )

    def _check_version(self, major: int) -> None:
        if major < OLDEST_MAJOR:
            raise RuntimeNotAvailableError(
                f"PostgreSQL {major} in {self._binaries.folder} is older than {OLDEST_MAJOR}",
                remedy="pip install aerotile[embedded], or name a newer installation",
            )
        try:
            version = read_regular(self._folder.cluster / "PG_VERSION", _LONGEST_VERSION)
        except FileNotFoundError:
            return
        made_by = version.decode("ascii", "replace").strip()
        if made_by != str(major):
            raise RuntimeNotAvailableError(
                f"the database in {self._folder.path} was made by PostgreSQL {made_by}, "
                f"the programs in {self._binaries.folder} are PostgreSQL {major}",
                remedy="use the programs that made it, or upgrade it with pg_upgrade",
            )

    def _password_pipe(self) -> int:
        """A descriptor to read the password from, so that no command line and no file shows it."""
        read_end, write_end = os.pipe()
        try:
            if os.geteuid() == 0:
                # Opening /dev/stdin asks for permission on the pipe itself.
                os.fchown(read_end, self._account.uid, self._account.gid)
            os.write(write_end, self._folder.password().encode())
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return read_end

    def _launcher(
        self, command: list[str], *, lock: FileLock | None = None, detach: bool = False
    ) -> list[str]:
        order = {
            "command": command,
            "folder": str(self._folder.path),
            "uid": self._account.uid,
            "gid": self._account.gid,
            "namespace_uid": self._account.namespace_uid,
            "lock": None if lock is None else lock.descriptor,
            "detach": detach,
        }
        return [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(order)]


def _environment() -> dict[str, str]:
    """The programs' environment: none of the caller's PG* variables, locale or time zone."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
