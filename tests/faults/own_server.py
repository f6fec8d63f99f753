"""A PostgreSQL of the test's own, with the settings of a flight, to be killed, paused, filled and failed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from audited_store import SOON_S, eventually

from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres

STRACE = shutil.which("strace")


def processes_of(postmaster: int) -> list[int]:
    """A server's processes, as the kernel knows them; asking the server would need one that answers."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
    with suppress(FileNotFoundError, ProcessLookupError):
        return [postmaster, *map(int, children.read_text().split())]
    return []


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


class OwnServer:
    """Whatever is done to it, `close` ends it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.embedded = EmbeddedPostgres(folder, extra_settings=settings)
        self.dsn = self.embedded.start()

    @property
    def postmaster(self) -> int:
        return int((self.folder / "cluster" / "postmaster.pid").read_text().split("\n")[0])

    def start(self) -> None:
        assert self.embedded.start() == self.dsn

    def kill_all(self) -> None:
        """End every process at once, as a cut of its power does."""
        send(signal.SIGKILL, processes_of(self.postmaster))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No process of the server does anything."""
        pids = processes_of(self.postmaster)
        # First the postmaster, which would otherwise start others meanwhile.
        send(signal.SIGSTOP, pids)
        try:
            yield
        finally:
            send(signal.SIGCONT, pids)

    def close(self) -> None:
        with suppress(FileNotFoundError):
            send(signal.SIGCONT, processes_of(self.postmaster))
        self.embedded.stop()


def _is_traced(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return "TracerPid:\t0\n" not in status


@contextmanager
def failing(pids: list[int], system_call: str, error: str) -> Iterator[None]:
    """This system call fails in these processes, and in those that they start."""
    assert STRACE is not None
    command = [STRACE, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={system_call}"]
    command += ["-e", f"inject={system_call}:error={error}:when=1+"]
    for pid in pids:
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually("strace is not attached", lambda: all(_is_traced(pid) for pid in pids))
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(SOON_S)
