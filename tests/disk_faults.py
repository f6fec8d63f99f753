"""System calls that fail: a process that does one thing again and again, and strace that spoils one call.

`DiskWorker` runs tests/faults/disk_worker.py. `sweep` lets it do an operation once to see which system calls
touch its files, and then once for each of these calls with that call made to fail, and then once more without
a fault, in the same process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import attrs
import pytest
from waiting import until

ALL_ERRORS = os.environ.get("TEST_DISK_ERRORS") == "all"
"""Every error at every call, in place of one error at each; `TEST_DISK_ERRORS=all` asks for it."""

STRACE = shutil.which("strace")
PATIENCE_S = 120.0
"""A worker that does not answer for so long hangs."""
WORKER = Path(__file__).with_name("faults") / "disk_worker.py"

needs_strace = pytest.mark.skipif(STRACE is None, reason="needs strace to make system calls fail")

OPENING = ("EMFILE", "EIO", "ENFILE", "EACCES")
MAKING = ("ENOSPC", "EDQUOT", "EIO", "EROFS")
SYNCING = ("EIO", "ENOSPC", "EDQUOT")
ERRORS: dict[str, tuple[str, ...]] = {
    "open": OPENING,
    "openat": OPENING,
    "openat2": OPENING,
    "mkdir": MAKING,
    "mkdirat": MAKING,
    "write": ("ENOSPC", "EIO", "EDQUOT", "EFBIG"),
    "pwrite64": ("ENOSPC", "EIO", "EDQUOT"),
    "fsync": SYNCING,
    "fdatasync": SYNCING,
    "sync_file_range": SYNCING,
    "syncfs": SYNCING,
    "rename": MAKING,
    "renameat": MAKING,
    "renameat2": MAKING,
    "unlink": ("EIO", "EROFS"),
    "unlinkat": ("EIO", "EROFS"),
    "rmdir": ("EIO", "EROFS"),
    "ftruncate": ("EIO", "EROFS"),
    "truncate": ("EIO", "EROFS"),
    "fchmod": ("EIO", "EROFS"),
    "fchown": ("EIO", "EPERM"),
    "flock": ("ENOLCK", "EIO"),
    "getdents64": ("EIO",),
    "read": ("EIO",),
    "pread64": ("EIO",),
}
"""What each call is made to fail with. Left out: `close`, of which the kernel must not be kept, and
`mmap`, which memory allocators call as they like."""

INTERRUPTED = frozenset(
    {"open", "openat", "openat2", "write", "fsync", "fdatasync", "sync_file_range", "syncfs"}
)
"""Calls that a signal may interrupt; they have to be made again as if nothing had happened."""
SYNCS = frozenset({"fsync", "fdatasync", "sync_file_range", "syncfs"})
CHANGING = SYNCS | {
    *(
        "mkdir",
        "mkdirat",
        "write",
        "pwrite64",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "rmdir",
    ),
    *("ftruncate", "truncate", "fchmod", "fchown"),
}
_LINE = re.compile(r"(?P<pid>[0-9]+) +(?:<\.\.\. )?(?P<name>[a-z0-9_]+)(?P<rest>[( ].*)")


@attrs.frozen
class Call:
    """One system call: the `number`-th of its `name` since the operation began."""

    name: str
    number: int
    text: str
    """As strace shows it."""

    def __str__(self) -> str:
        return f"{self.name} {self.number}: {self.text}"


@attrs.frozen
class Answer:
    """How one step of an operation ended in the worker."""

    error: tuple[str, ...]
    """Names of the error's class and its bases; empty when there was none."""
    message: str
    remedy: str | None
    cause: tuple[str, ...]
    errno: int | None
    """Of the first cause."""
    descriptors: tuple[str, ...]
    """What the process has open below its folder."""
    told: str
    """What the step had to say."""


class DiskWorker:
    """A process that does operations when it is told to; ends with its input."""

    def __init__(self, group: str, folder: Path, *arguments: str, user: int | None = None) -> None:
        self.folder = folder
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER), str(theirs.fileno()), group, str(folder), *arguments],
                pass_fds=[theirs.fileno()],
                user=user,
            )
        self._socket = ours
        ours.settimeout(PATIENCE_S)
        self._answers = ours.makefile("r")

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, step: str, operation: str) -> Answer:
        """Do a step; whatever it raises is in the answer."""
        self._socket.sendall(f"{step} {operation}\n".encode())
        line = self._answers.readline()
        assert line, "the worker died"
        facts = json.loads(line)
        return Answer(**facts | {name: tuple(facts[name]) for name in ("error", "cause", "descriptors")})

    def must(self, step: str, operation: str) -> Answer:
        """Do a step that no fault is in the way of."""
        answer = self.tell(step, operation)
        assert not answer.error, f"{step} {operation}: {answer}"
        return answer

    def close(self) -> None:
        self._answers.close()
        self._socket.close()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def attached(worker: DiskWorker, *arguments: str) -> Iterator[None]:
    """strace at work on the worker, all its threads included."""
    assert STRACE is not None
    tracer = subprocess.Popen(
        [STRACE, "-f", "-p", str(worker.pid), *arguments], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    try:
        for line in tracer.stderr:
            if "attached" in line:
                break
        else:
            pytest.skip("this machine lets nobody trace a process")
        yield
    finally:
        tracer.terminate()
        tracer.communicate(timeout=60)


def calls_of(worker: DiskWorker, operation: str, folder: Path, log: Path) -> list[Call]:
    """Do the operation, and return the calls of the worker's main thread on what is below `folder`."""
    names = ",".join(f"?{name}" for name in ERRORS)
    with attached(worker, "-y", "-s", "200", "-o", str(log), "-e", f"trace={names}"):
        answer = worker.tell("do", operation)
    assert not answer.error, f"{operation}: {answer}"
    counts: Counter[str] = Counter()
    calls = []
    for line in log.read_text().splitlines():
        match = _LINE.fullmatch(line)
        if match is None or int(match["pid"]) != worker.pid or "<..." in line:
            continue
        counts[match["name"]] += 1
        if " = -1 E" in match["rest"]:  # it fails anyway, such as a mkdir of what is there
            continue
        if str(folder) in match["rest"] or match["name"] == "syncfs":
            calls.append(Call(match["name"], counts[match["name"]], match["rest"]))
    assert calls, f"{operation} touches nothing below {folder}"
    return calls


def failing(call: Call, error: str, *, from_then_on: bool = False) -> tuple[str, str]:
    """strace's words for making that call fail."""
    return "-e", f"inject={call.name}:error={error}:when={call.number}{'+' if from_then_on else ''}"


def dead_disk(calls: Sequence[Call], start: int, error: str) -> list[str]:
    """strace's words for a disk on which nothing can be changed from call `start` on."""
    words: list[str] = []
    for name in sorted({call.name for call in calls} & CHANGING):
        numbers = [call.number for call in calls[:start] if call.name == name]
        words += failing(Call(name, max(numbers, default=0) + 1, ""), error, from_then_on=True)
    return words


def chosen(calls: Sequence[Call]) -> Iterator[tuple[Call, str]]:
    """Which call to let fail with which error: one for each call, in turn, or all of them."""
    turns = {name: cycle(errors) for name, errors in ERRORS.items()}
    for call in calls:
        for error in ERRORS[call.name] if ALL_ERRORS else (next(turns[call.name]),):
            yield call, error


@attrs.frozen
class Operation:
    """Something that the product does to its files, and what is expected of it when the disk fails."""

    name: str
    raises: tuple[str, ...]
    """The errors that may come out of it, by their class; `OSError` only below a port."""
    survives: tuple[str, ...] = ()
    """Calls whose failure it may pass over, because nothing that was promised depends on them."""
    atomic: bool = True
    """Whether a failure leaves every file as it was; where not, `holds` says what must be true."""


@attrs.frozen
class Sweep:
    """One operation in one worker, with every call of it spoiled in turn."""

    worker: DiskWorker
    operation: Operation
    folder: Path
    """Calls below it are made to fail, and files below it are looked at."""
    look: Callable[[], Any]
    """The world as an independent observer sees it."""
    holds: Callable[[], None] = lambda: None
    """Asserts what must be true at any moment."""
    after_failure: Callable[[], None] = lambda: None
    """Asserts what must be true after the operation has failed."""
    log: Path = attrs.field(kw_only=True)

    def run(self) -> int:
        """Returns how many faults there were."""
        name = self.operation.name
        self._once()  # what is opened or made once only is now
        self.worker.must("prepare", name)
        calls = calls_of(self.worker, name, self.folder, self.log)
        self._finish()
        before = self._open_files()
        runs = 0
        for call, error in chosen(calls):
            self.worker.must("prepare", name)
            self._spoil(call, error, failing(call, error))
            runs += 1
        for call in {call.name: call for call in calls if call.name in INTERRUPTED}.values():
            self.worker.must("prepare", name)
            with attached(self.worker, "-o", "/dev/null", *failing(call, "EINTR")):
                self.worker.must("do", name)
            self._finish()
            runs += 1
        # The worker's own threads have a file open for a moment, which may be before, or now.
        until(lambda: self._open_files() <= before, f"{name} leaks descriptors; before: {before}")
        return runs

    def _open_files(self) -> int:
        return len(self.worker.must("check", "nothing").descriptors)

    def run_dying(self, mend: Callable[[], None]) -> int:
        """The disk dies at some call and stays dead until the operation has failed; `mend` is the next open.

        Returns how many faults there were.
        """
        name = self.operation.name
        self._once()
        self.worker.must("prepare", name)
        calls = calls_of(self.worker, name, self.folder, self.log)
        self._finish()
        starts = [place for place, call in enumerate(calls) if call.name in CHANGING]
        errors = cycle(("EIO", "EROFS", "ENOSPC", "EDQUOT"))
        runs = 0
        for start in starts if ALL_ERRORS else starts[:: max(1, len(starts) // 4)]:
            error = next(errors)
            self.worker.must("prepare", name)
            with attached(self.worker, "-o", "/dev/null", *dead_disk(calls, start, error)):
                answer = self.worker.tell("do", name)
            what = f"{name}, {error} from {calls[start]} on: {answer}"
            assert answer.error, what
            assert_told(answer, self.operation.raises, error, what)
            self.worker.must("do", name)
            self.worker.must("check", name)
            mend()
            self._finish()
            runs += 1
        return runs

    def _once(self) -> None:
        self.worker.must("prepare", self.operation.name)
        self.worker.must("do", self.operation.name)
        self._finish()

    def _finish(self) -> None:
        self.worker.must("check", self.operation.name)
        self.holds()
        self.worker.must("undo", self.operation.name)

    def _spoil(self, call: Call, error: str, words: Sequence[str]) -> None:
        operation, before = self.operation, self.look()
        with attached(self.worker, "-o", "/dev/null", *words):
            answer = self.worker.tell("do", operation.name)
        what = f"{operation.name}, {error} at {call}: {answer}"
        if answer.error:
            assert_told(answer, operation.raises, error, what)
            assert not operation.atomic or self.look() == before, what
            self._assert_holds(what)
            again = self.worker.tell("do", operation.name)
            assert not again.error, f"{what}; and then without a fault: {again}"
        else:
            assert call.name in operation.survives, f"it went unnoticed: {what}"
            self.worker.must("do", operation.name)
        self._finish()

    def _assert_holds(self, what: str) -> None:
        try:
            self.holds()
            self.after_failure()
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from error


def assert_told(answer: Answer, raises: Sequence[str], error: str, what: str) -> None:
    """The error is one of ours, names the file and the reason, and keeps what caused it."""
    import errno

    assert set(answer.error) & set(raises), what
    assert "\n" not in answer.message, what
    if "AerotileError" in answer.error:
        assert "OSError" in answer.cause, f"no cause: {what}"
        assert answer.errno == getattr(errno, error), what
        assert os.strerror(getattr(errno, error)) in answer.message, what
        assert "/" in answer.message, f"it does not say where: {what}"


def files_below(folder: Path) -> dict[str, str]:
    """Every file below a folder and its SHA-256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
