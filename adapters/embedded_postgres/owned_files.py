"""Files in a data folder whose owner may be an ordinary user while this process runs as root."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..files.regular_file import open_regular

FILE_MODE = 0o600


def owner_to_give(folder: Path) -> tuple[int, int] | None:
    """Uid and gid of a folder's owner when this process is root, else None. Raises `OSError`.

    A file that root creates in another user's folder belongs to that user, who could not use it otherwise.
    """
    if os.geteuid() != 0:
        return None
    facts = folder.stat()
    return facts.st_uid, facts.st_gid


def open_owned(path: Path, flags: int) -> int:
    """Open a file of the server, and nothing that the folder's owner put in its place. Raises `OSError`.

    A created file belongs to the folder's owner. A second name of a file is refused where the owner is
    another user: it may be the name of a file of root's.
    """
    descriptor = open_regular(path, flags, mode=FILE_MODE)
    try:
        if os.fstat(descriptor).st_nlink != 1 and path.parent.stat().st_uid != os.geteuid():
            raise OSError(errno.EINVAL, "something else was put in its place", str(path))
        owner = owner_to_give(path.parent)
        if owner is not None:
            os.fchown(descriptor, *owner)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_owned_folder(folder: Path, uid: int, gid: int) -> None:
    """Make a private folder for the server's account. Raises `FileExistsError`, `OSError`."""
    folder.mkdir(0o700)
    if os.geteuid() == 0:
        os.chown(folder, uid, gid, follow_symlinks=False)
