"""Which file systems make a whole tile durable with one commit of their journal.

A tile can be placed with one wait for the device in place of three: write both temporaries, bring their
content to the device (`sync_file_range`, which waits until the blocks are allocated, written and marked as
such), rename both, sync the folder. That sync commits every change of metadata that came before it, those of
both inodes included, and the commit flushes the device's cache, the content included. It is true of

- ext4 with a journal and `data=ordered` or `data=journal`. Its journal is one sequence: the renames join a
  transaction that is no older than those of the inodes. Without a journal, the sync of a folder writes that
  folder alone; with `data=writeback` and `journal_async_commit` nobody has tried.
- XFS with its data and its log on one device. Its log is one sequence too, and a sync of anything writes all
  before it; content on a device of its own (`rtdev`, `logdev`) would not be flushed with it.

A single tile is sent to the device, without a name (`O_TMPFILE`), while the database works on its row; names
are given by link once the row is inserted. Here the content must have arrived, as above, before that; then
the sync of the folder commits the names together with the inodes. Elsewhere both files are synced once they
have their names (the first name changes an inode, so each is synced whole), and then the folder.

tests/faults/test_power_cuts_of_files.py cuts the power of both. Everywhere else each file is synced.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC, _SYS = Path("/proc"), Path("/sys")


def ordered_device(descriptor: int, *, proc: Path = _PROC, sys: Path = _SYS) -> int:
    """The device (`st_dev`) that `descriptor` lies on if one commit makes all of it durable, else 0.

    What can't be read counts as another file system.
    """
    device = os.fstat(descriptor).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        kind, options = _mounted(proc, number)
        if kind == "ext4":
            name = (sys / "dev" / "block" / number).readlink().name
            # What a mount table leaves out because it is the default is spelled out here.
            options = set((proc / "fs" / "ext4" / name / "options").read_text().split())
            ordered = (
                bool(options & {"data=ordered", "data=journal"}) and "journal_async_commit" not in options
            )
        else:
            ordered = kind == "xfs" and not any(o.startswith(("rtdev=", "logdev=")) for o in options)
    except (OSError, ValueError):
        return 0
    return device if ordered else 0


def _mounted(proc: Path, number: str) -> tuple[str, set[str]]:
    """Kind and options of the file system on a device. Raises `ValueError` when it is in no mount table."""
    for line in (proc / "self" / "mountinfo").read_text(errors="replace").splitlines():
        place, _, system = line.partition(" - ")
        if place.split()[2] == number:
            kind, _, options = system.split(maxsplit=2)
            return kind, set(options.split(","))
    raise ValueError(f"nothing is mounted from device {number}")
