"""A disk that stops answering when it is told to: one file served through /dev/fuse, for a loop device.

    python stalling_disk.py MOUNT_POINT CONTENT

mounts a file system at MOUNT_POINT that holds CONTENT as the file `disk`, and obeys the lines on its standard
input: `stall`: reads wait from now on; `stall writes`: writes and syncs wait; `go`: all are answered. It ends
with its input, however its parent died; whoever waits then gets an error. Speaks the kernel's protocol
(linux/fuse.h, version 7.31) as far as a loop device needs it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import stat
import struct
import sys
from contextlib import suppress

DISK = 2
LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE = 1, 2, 3, 4, 14, 15, 16, 17, 18
FSYNC, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 20, 25, 26, 27, 29, 36, 42
STALLS = {"stall": frozenset({READ}), "stall writes": frozenset({WRITE, FSYNC}), "go": frozenset[int]()}
PAST_THE_CACHE = 1  # FOPEN_DIRECT_IO: what was read once is asked for again
REQUEST = struct.Struct("<IIQQIIII")
MAX_WRITE = 1 << 17


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class StallingDisk:
    """The server's side of the protocol."""

    def __init__(self, device: int, content: int) -> None:
        self._device = device
        self._content = content
        self._stalls: frozenset[int] = frozenset()
        self._waiting: list[bytes] = []

    def obey(self, command: str) -> None:
        """Stall, or answer everything that waits."""
        self._stalls = STALLS[command]
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            self._answer_to(request)
        say(command)

    def serve(self) -> bool:
        """Answer one request; False when the file system was unmounted."""
        try:
            request = os.read(self._device, MAX_WRITE + 4096)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            if error.errno in (errno.EAGAIN, errno.EINTR, errno.ENOENT):  # ENOENT: withdrawn meanwhile
                return True
            raise
        self._answer_to(request)
        return True

    def _answer_to(self, request: bytes) -> None:
        _, operation, unique, node, *_ = REQUEST.unpack_from(request)
        body = request[REQUEST.size :]
        if operation in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        if operation in self._stalls:
            self._waiting.append(request)
        elif operation == READ:
            self._read(unique, body)
        elif operation == WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            os.pwrite(self._content, body[40 : 40 + size], offset)
            self._answer(unique, struct.pack("<II", size, 0))
        elif operation == INIT:
            self._answer(unique, struct.pack("<IIIIHHII36x", 7, 31, 0, 0, 64, 48, MAX_WRITE, 1))
        elif operation == LOOKUP and body == b"disk\0":
            self._answer(unique, struct.pack("<QQQQII", DISK, 0, 3600, 3600, 0, 0) + self._attributes(DISK))
        elif operation in (GETATTR, SETATTR):
            self._answer(unique, struct.pack("<QII", 3600, 0, 0) + self._attributes(node))
        elif operation in (OPEN, OPENDIR):
            self._answer(unique, struct.pack("<QIi", 0, PAST_THE_CACHE if node == DISK else 0, 0))
        elif operation == STATFS:
            self._answer(unique, struct.pack("<5Q4I24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0))
        elif operation in (RELEASE, RELEASEDIR, FSYNC, FLUSH):
            self._answer(unique)
        else:
            self._answer(unique, failure=errno.ENOENT if operation == LOOKUP else errno.ENOSYS)

    def _read(self, unique: int, body: bytes) -> None:
        _, offset, size = struct.unpack_from("<QQI", body)
        self._answer(unique, os.pread(self._content, size, offset))

    def _answer(self, unique: int, body: bytes = b"", failure: int = 0) -> None:
        with suppress(FileNotFoundError):  # nobody waits for it any more
            os.write(self._device, struct.pack("<IiQ", 16 + len(body), -failure, unique) + body)

    def _attributes(self, node: int) -> bytes:
        size = os.fstat(self._content).st_size if node == DISK else 0
        mode = stat.S_IFREG | 0o600 if node == DISK else stat.S_IFDIR | 0o700
        return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def main(mount_point: str, content_path: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK)
    content = os.open(content_path, os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"stalling-disk", mount_point.encode(), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    say("mounted")
    disk = StallingDisk(device, content)
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    while True:
        ready, _, _ = select.select([device, commands], [], [])
        if device in ready and not disk.serve():
            return
        if commands in ready:
            line = commands.readline()
            if not line:
                return
            disk.obey(line.decode().strip())


if __name__ == "__main__":
    main(*sys.argv[1:])
