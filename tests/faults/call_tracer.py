"""Follow a process from system call to system call, and stop or kill it before one of them (Linux, ptrace).

`strace -e inject=...:when=N` counts the calls of each thread and each name for itself, and takes a process
of its own for every kill. Here the calls of all threads are counted together, in the order in which they are
made, so that the numbers 1 to N name every moment of an operation once.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from pathlib import Path

_SYSCALL, _SEIZE, _INTERRUPT, _GET_SYSCALL_INFO = 24, 0x4206, 0x4207, 0x420E
# Tell system calls from signals; follow new threads; kill when the tracer dies.
_OPTIONS = 0x1 | 0x8 | 0x100000
_WAIT_FOR_THREADS = 0x40000000  # __WALL
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_ENTRY = 1
_INFO_BYTES = 88

# Whatever leaves the process: files, folders, locks, sockets. Between two of these nobody else can see a
# difference, so a kill before each of them is a kill at every moment. Numbers: x86-64, aarch64.
_NUMBERS = {
    "write": (1, 64),
    "open": (2, None),
    "close": (3, 57),
    "mmap": (9, 222),
    "pwrite64": (18, 68),
    "writev": (20, 66),
    "connect": (42, 203),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "shutdown": (48, 210),
    "exit": (60, 93),
    "flock": (73, 32),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "truncate": (76, 45),
    "ftruncate": (77, 46),
    "rename": (82, None),
    "mkdir": (83, None),
    "rmdir": (84, None),
    "creat": (85, None),
    "link": (86, None),
    "unlink": (87, None),
    "symlink": (88, None),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "chown": (92, None),
    "fchown": (93, 55),
    "exit_group": (231, 94),
    "openat": (257, 56),
    "mkdirat": (258, 34),
    "unlinkat": (263, 35),
    "renameat": (264, 38),
    "linkat": (265, 37),
    "fchmodat": (268, 53),
    "utimensat": (280, 88),
    "sync_file_range": (277, 84),
    "fallocate": (285, 47),
    "pwritev": (296, 70),
    "syncfs": (306, 267),
    "renameat2": (316, 276),
    "copy_file_range": (326, 285),
    "pwritev2": (328, 287),
    "openat2": (437, 437),
}
_MACHINES = {"x86_64": 0, "aarch64": 1}
CAN_TRACE = platform.machine() in _MACHINES
"""Whether the numbers of this machine's system calls are known."""
_NAMES = {numbers[_MACHINES[platform.machine()]]: name for name, numbers in _NUMBERS.items() if CAN_TRACE}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class CallTracer:
    """Follows a child of this process, which must have no other children meanwhile.

    `calls` are the names of the calls that were begun since `attach`.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.calls: list[str] = []
        self.status: int | None = None
        """How the process ended, as `os.waitpid` has it."""
        self._held: int | None = None

    def attach(self) -> bool:
        """Begin to follow every thread; False when the machine does not let us."""
        followed: set[int] = set()
        while unfollowed := {int(task.name) for task in Path(f"/proc/{self.pid}/task").iterdir()} - followed:
            for thread in unfollowed:
                # A thread made by one that is followed already is followed from its birth.
                if _ptrace(_SEIZE, thread, 0, _OPTIONS):
                    _ptrace(_INTERRUPT, thread)
                elif thread == self.pid:
                    return False
            followed |= unfollowed
        return True

    def run_until(self, number: int | None) -> str | None:
        """Let it run until it is about to make the call with this number, counted from 1; the call's name.

        None when it ended before. The thread that was to make the call stands still until the next
        `run_until`; the others do as soon as they make a call.
        """
        if self._held is not None:
            self._resume(self._held)
            self._held = None
        while self.status is None:
            thread, status = os.waitpid(-1, _WAIT_FOR_THREADS)
            if not os.WIFSTOPPED(status):
                if thread == self.pid:
                    self.status = status
                continue
            stopped_by = os.WSTOPSIG(status)
            if stopped_by == _SYSCALL_STOP:
                name = _entered(thread)
                if name is not None:
                    self.calls.append(name)
                    if len(self.calls) == number:
                        self._held = thread
                        return name
                self._resume(thread)
            else:  # an event of the tracing, or a signal for the process
                self._resume(thread, 0 if status >> 16 else stopped_by)
        return None

    def kill(self) -> None:
        """End it now: the call that it was about to make is not made."""
        os.kill(self.pid, signal.SIGKILL)
        self._held = None
        self.run_until(None)

    def _resume(self, thread: int, signal_number: int = 0) -> None:
        _ptrace(_SYSCALL, thread, 0, signal_number)


def _entered(thread: int) -> str | None:
    """The name of the call that a stopped thread is about to make; None for all that nobody else can see."""
    info = ctypes.create_string_buffer(_INFO_BYTES)
    if not _ptrace(_GET_SYSCALL_INFO, thread, _INFO_BYTES, ctypes.addressof(info)) or info.raw[0] != _ENTRY:
        return None
    return _NAMES.get(int.from_bytes(info.raw[24:32], "little"))


def _ptrace(request: int, thread: int, address: int = 0, data: int = 0) -> bool:
    """False when the thread has gone, or is another's."""
    if _libc.ptrace(request, thread, address, data) != -1:
        return True
    error = ctypes.get_errno()
    if error in (1, 3):  # EPERM, ESRCH
        return False
    raise OSError(error, os.strerror(error))
