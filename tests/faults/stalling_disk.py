"""A disk that stops answering when it is told to.

    python stalling_disk.py MOUNT_POINT CONTENT

mounts a file system at MOUNT_POINT that holds CONTENT as the file `disk`, for a loop device, and obeys the
lines on its standard input: `stall`: reads wait from now on; `go`: they are answered. It ends with its input,
however its parent died; whoever waits then gets an error.
"""

from __future__ import annotations

import os
import sys

from fuse_disk import FuseDisk


class StallingDisk(FuseDisk):
    """Keeps reads waiting while it is stalled."""

    _stalled: list[tuple[int, int, int]] | None = None

    def obey(self, command: str) -> str:
        """Stall, or answer everything that waits."""
        if command == "stall":
            self._stalled = self._stalled or []
        else:
            waiting, self._stalled = self._stalled or [], None
            for request in waiting:
                self.read(*request)
        return command

    def read(self, unique: int, offset: int, size: int) -> None:
        """Answer at once, or when told to go on."""
        if self._stalled is None:
            super().read(unique, offset, size)
        else:
            self._stalled.append((unique, offset, size))


if __name__ == "__main__":
    mount_point, content_path = sys.argv[1:]
    StallingDisk(os.open(content_path, os.O_RDWR)).serve(mount_point)
