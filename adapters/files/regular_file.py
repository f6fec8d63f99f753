"""Opening files where a person or an attacker may have put something else.

A FIFO would block its reader, a device has no end, a symbolic link leads to another file. So only a regular
file is opened, and no more is read than the caller expects.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from .ownership import give_to_folders_owner

_CHUNK_BYTES = 1 << 18


def open_regular(
    path: Path | str,
    flags: int = os.O_RDONLY,
    *,
    mode: int = 0o600,
    follow: bool = False,
    dir_fd: int | None = None,
) -> int:
    """Open a regular file and return its descriptor; never blocks. Raises `OSError`, also for other kinds.

    `flags` and `mode` are those of `os.open`. Only with `follow` may the last part of the path be a symbolic
    link: that is for files that the operator names, not for files that this program writes. A file that is
    created belongs to the owner of its folder, also where this process is root.
    """
    flags |= os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    if flags & os.O_CREAT and os.geteuid() == 0:
        try:
            return _create(path, flags | os.O_EXCL, mode, dir_fd)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
    try:
        descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from error
        if error.errno == errno.ENXIO:
            raise _not_regular(path) from error
        raise
    return refuse_irregular(descriptor, path)


def _create(path: Path | str, flags: int, mode: int, dir_fd: int | None) -> int:
    """Create a file as root. Raises `FileExistsError`, `OSError`; then there is no new file."""
    descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
    try:
        give_to_folders_owner(descriptor, Path(path).parent, dir_fd=dir_fd)
    except BaseException:
        os.close(descriptor)
        os.unlink(path, dir_fd=dir_fd)
        raise
    return descriptor


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
    """The content of a regular file; see `open_regular`. Raises `OSError`, also beyond `most_bytes`."""
    return read_at_most(open_regular(path, follow=follow, dir_fd=dir_fd), most_bytes, path)


def read_at_most(descriptor: int, most_bytes: int, path: Path | str) -> bytes:
    """Read an open file to its end and close it. Raises `OSError`, also beyond `most_bytes`."""
    with os.fdopen(descriptor, "rb") as file:
        content = read_one_more(file, most_bytes)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes} bytes", str(path))
    return content


def read_one_more(file: BinaryIO, most_bytes: int) -> bytes:
    """Read to the end, or one byte more than `most_bytes`; takes no more memory than that."""
    content = bytearray()
    # A single read would allocate `most_bytes` for the shortest file.
    while len(content) <= most_bytes and (
        part := file.read(min(_CHUNK_BYTES, most_bytes + 1 - len(content)))
    ):
        content += part
    return bytes(content)


def _not_regular(path: Path | str) -> OSError:
    return OSError(errno.EINVAL, "it is not a regular file", str(path))
