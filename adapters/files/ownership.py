"""Whose new files and folders are: what root makes in another user's folder belongs to that user.

Otherwise one run of `sudo aerotile` would leave behind what the owner can neither read nor replace.
"""

from __future__ import annotations

import os
from pathlib import Path


def give_to_folders_owner(made: Path | str | int, folder: Path | int, *, dir_fd: int | None = None) -> None:
    """Give a new file (open, by its descriptor) or folder to the owner of the folder that it lies in.

    `folder` is a path, from the open folder `dir_fd` on where that is given, or a descriptor; `made` is then
    the name of a folder in it. Does nothing unless this process is root. Raises `OSError` where the owner
    can't be changed.
    """
    if os.geteuid() != 0:
        return
    owner = os.stat(folder, dir_fd=dir_fd)
    if owner.st_uid == 0:
        return
    try:
        if isinstance(made, int):
            os.fchown(made, owner.st_uid, owner.st_gid)
        else:
            parent = folder if isinstance(folder, int) else None
            os.chown(made, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        reason = f"root can't give what it makes there to the owner, uid {owner.st_uid}: {error.strerror}"
        raise OSError(error.errno, reason, str(folder)) from error
