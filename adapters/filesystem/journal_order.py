"""Which file systems make a whole tile durable with one commit of their journal.

A tile can be placed with one wait for the device in place of three: write both temporaries, write their
content to the device (`sync_file_range`, which waits until the blocks are allocated, written and marked as
written), rename both, sync the folder. That sync commits all earlier changes of metadata, those of both
inodes included, and the commit flushes the device's cache, the content included. This holds for

- ext4 with a journal and `data=ordered` or `data=journal`. Its journal is one sequence: the renames join a
  transaction that is no older than those of the inodes. Without a journal, the sync of a folder writes that
  folder alone; `data=writeback` and `journal_async_commit` are untested.
- XFS with its data and its log on one device. Its log is one sequence too, and each sync writes all earlier
  entries. Content on another device (`rtdev`, `logdev`) would not be flushed with the log.

A single tile is written to the device, without a name (`O_TMPFILE`), while the database works on its row. The
names are linked once the row is inserted. On these file systems the content must be on the device before the
names are linked; the sync of the folder then commits the names together with the inodes. On others both files
are synced after they got their names (the first name changes an inode, so each is synced whole), and then the
folder.

tests/faults/test_power_cuts_of_files.py cuts the power of both kinds.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC, _SYS = Path("/proc"), Path("/sys")


def ordered_device(descriptor: int, *, proc: Path = _PROC, sys: Path = _SYS) -> int:
    """The device (`st_dev`) of `descriptor` if one commit makes a whole tile durable there, else 0.

    0 also when the file system's kind or options can't be read.
    """
    device = os.fstat(descriptor).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        kind, options = _mounted(proc, number)
        if kind == "ext4":
            name = (sys / "dev" / "block" / number).readlink().name
            # Lists default options too, which a mount table omits.
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
