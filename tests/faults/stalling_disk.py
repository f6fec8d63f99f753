"""A disk that stops or fails on command.

    python stalling_disk.py MOUNT_POINT CONTENT

mounts a file system at MOUNT_POINT that holds CONTENT as the file `disk`, for a loop device, and obeys the
lines on its standard input: `stall`: reads wait from now on; `stall writes`: writes and syncs wait; `fail`:
reads fail with EIO; `go`: all are answered. It ends with its input, however its parent died; whoever waits
then gets an error.
"""

from __future__ import annotations

import errno
import os
import sys

from fuse_disk import FSYNC, READ, REQUEST, WRITE, FuseDisk

STALLS = {
    "stall": frozenset({READ}),
    "stall writes": frozenset({WRITE, FSYNC}),
    "fail": frozenset[int](),
    "go": frozenset[int](),
}


class StallingDisk(FuseDisk):
    """Keeps requests waiting while it is stalled, and reads nothing while it fails."""

    _stalls: frozenset[int] = frozenset()
    _fails = False

    def __init__(self, content: int) -> None:
        super().__init__(content)
        self._waiting: list[bytes] = []

    def obey(self, command: str) -> str:
        """Stall, or answer everything that waits."""
        self._stalls, self._fails = STALLS[command], command == "fail"
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            self.take(request)
        return command

    def take(self, request: bytes) -> None:
        """Answer at once, or when told to go on."""
        _, operation, unique, *_ = REQUEST.unpack_from(request)
        if operation in self._stalls:
            self._waiting.append(request)
        elif self._fails and operation == READ:
            self.answer(unique, failure=errno.EIO)
        else:
            super().take(request)


if __name__ == "__main__":
    mount_point, content_path = sys.argv[1:]
    StallingDisk(os.open(content_path, os.O_RDWR)).serve(mount_point)
