"""Opening small files that somebody may have put something else in the place of.

A FIFO would hang its reader, a device has no end, a symbolic link leads to another's file: only a regular
file is read, and no more of it than is expected there.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 1 << 18


def open_regular(path: Path | str, *, follow: bool = False, dir_fd: int | None = None) -> int:
    """Open a regular file for reading and return its descriptor. Raises `OSError`, also for anything else.

    Only with `follow` may the path's last part be a symbolic link: for files that the operator names, not
    for those that we write. Waits for nobody.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from error
        if error.errno == errno.ENXIO:
            raise _not_regular(path) from error
        raise
    return refuse_irregular(descriptor, path)


def refuse_irregular(descriptor: int, path: Path | str) -> int:
    """Return the descriptor of a regular file; close any other and raise `OSError`."""
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise _not_regular(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(
    path: Path | str, most_bytes: int, *, follow: bool = False, dir_fd: int | None = None
) -> bytes:
    """The content of a regular file; see `open_regular`. Raises `OSError`, also when it is longer."""
    return read_at_most(open_regular(path, follow=follow, dir_fd=dir_fd), most_bytes, path)


def read_at_most(descriptor: int, most_bytes: int, path: Path | str) -> bytes:
    """Read to the end and close. Raises `OSError`, also when there is more than `most_bytes`."""
    with os.fdopen(descriptor, "rb") as file:
        content = read_one_more(file, most_bytes)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes} bytes", str(path))
    return content


def read_one_more(file: BinaryIO, most_bytes: int) -> bytes:
    """Read to the end, or until there is one byte more than `most_bytes`; takes no more memory than that."""
    content = bytearray()
    # One read of so many bytes would make room for all of them at once.
    while len(content) <= most_bytes and (
        part := file.read(min(_CHUNK_BYTES, most_bytes + 1 - len(content)))
    ):
        content += part
    return bytes(content)


def _not_regular(path: Path | str) -> OSError:
    return OSError(errno.EINVAL, "it is not a regular file", str(path))
