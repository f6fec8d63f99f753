"""Files in a data folder whose owner may be an ordinary user while this process runs as root."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..files.regular_file import open_regular

FILE_MODE = 0o600


def open_owned(path: Path, flags: int) -> int:
    """Open a file of the server, and nothing that the folder's owner put in its place. Raises `OSError`.

    A second name of a file is refused where the owner of the folder is another user: it may be the name of a
    file of root's.
    """
    descriptor = open_regular(path, flags, mode=FILE_MODE)
    try:
        if os.fstat(descriptor).st_nlink != 1 and path.parent.stat().st_uid != os.geteuid():
            raise OSError(errno.EINVAL, "something else was put in its place", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_owned_folder(folder: Path, uid: int, gid: int) -> None:
    """Make a private folder for the server's account. Raises `FileExistsError`, `OSError`."""
    folder.mkdir(0o700)
    if os.geteuid() == 0:
        os.chown(folder, uid, gid, follow_symlinks=False)
