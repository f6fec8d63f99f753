"""A disk whose blocks come from a program: one file served through /dev/fuse, for a loop device.

Speaks the kernel's protocol (linux/fuse.h, version 7.31) as far as a loop device needs it. What a disk does
with its requests, and with the lines on its standard input, is for its class to say.
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
PAST_THE_CACHE = 1  # FOPEN_DIRECT_IO: what was read once is asked for again
REQUEST = struct.Struct("<IIQQIIII")
MAX_WRITE = 1 << 17


class FuseDisk:
    """The server's side of the protocol: a disk that keeps its blocks in a file."""

    def __init__(self, content: int) -> None:
        """`content` is the file's descriptor."""
        self._content = content
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK)

    def obey(self, command: str) -> str:
        """Do what a line on the standard input says, and answer with a line."""
        raise NotImplementedError(command)

    def write(self, offset: int, block: bytes) -> None:
        """Take what is written."""
        os.pwrite(self._content, block, offset)

    def flush(self) -> None:
        """Make durable what was written."""

    def serve(self, mount_point: str) -> None:
        """Mount at `mount_point`, say `mounted`, and serve until it is unmounted or the input ends."""
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,allow_other"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"fuse-disk", mount_point.encode(), b"fuse", 0, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        say("mounted")
        commands = os.fdopen(os.dup(0), "rb", buffering=0)
        while True:
            ready, _, _ = select.select([self._device, commands], [], [])
            if self._device in ready and not self._serve_one():
                return
            if commands in ready:
                line = commands.readline()
                if not line:
                    return
                say(self.obey(line.decode().strip()))

    def _serve_one(self) -> bool:
        """Answer one request; False when the file system was unmounted."""
        try:
            request = os.read(self._device, MAX_WRITE + 4096)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            if error.errno in (errno.EAGAIN, errno.EINTR, errno.ENOENT):  # ENOENT: withdrawn meanwhile
                return True
            raise
        self.take(request)
        return True

    def take(self, request: bytes) -> None:
        """Answer a request of the kernel, now or later."""
        _, operation, unique, node, *_ = REQUEST.unpack_from(request)
        body = request[REQUEST.size :]
        if operation in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        if operation == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            self.answer(unique, os.pread(self._content, size, offset))
        elif operation == WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            self.write(offset, body[40 : 40 + size])
            self.answer(unique, struct.pack("<II", size, 0))
        elif operation == FSYNC:
            self.flush()
            self.answer(unique)
        elif operation == INIT:
            self.answer(unique, struct.pack("<IIIIHHII36x", 7, 31, 0, 0, 64, 48, MAX_WRITE, 1))
        elif operation == LOOKUP and body == b"disk\0":
            self.answer(unique, struct.pack("<QQQQII", DISK, 0, 3600, 3600, 0, 0) + self._attributes(DISK))
        elif operation in (GETATTR, SETATTR):
            self.answer(unique, struct.pack("<QII", 3600, 0, 0) + self._attributes(node))
        elif operation in (OPEN, OPENDIR):
            self.answer(unique, struct.pack("<QIi", 0, PAST_THE_CACHE if node == DISK else 0, 0))
        elif operation == STATFS:
            self.answer(unique, struct.pack("<5Q4I24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0))
        elif operation in (RELEASE, RELEASEDIR, FLUSH):
            self.answer(unique)
        else:
            self.answer(unique, failure=errno.ENOENT if operation == LOOKUP else errno.ENOSYS)

    def answer(self, unique: int, body: bytes = b"", failure: int = 0) -> None:
        """Answer the request that the kernel numbered `unique`."""
        with suppress(FileNotFoundError):  # nobody waits for it any more
            os.write(self._device, struct.pack("<IiQ", 16 + len(body), -failure, unique) + body)

    def _attributes(self, node: int) -> bytes:
        size = os.fstat(self._content).st_size if node == DISK else 0
        mode = stat.S_IFREG | 0o600 if node == DISK else stat.S_IFDIR | 0o700
        return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def say(line: str) -> None:
    """Answer a command, or say that the disk is there."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
