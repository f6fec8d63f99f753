"""What a file system does when a new file is synced: how few syncs make a tile durable under its name.

One, of the file, where the file's inode and its name change in one transaction of a journal, which the sync
commits:

- ext4 with a journal. `journal_async_commit` is untested.
- XFS with its data and its log on one device. Content on another device (`rtdev`, `logdev`) would not be
  flushed with the log.

On others the folder is synced too. An ext4 without a journal writes a new file's name with the file, but not
always while another thread syncs a file of the same folder: the second sync comes after that.

A single tile is written without a name (`O_TMPFILE`), and is on its way to the disk, while the database
works on its row. Its name is linked once the row is inserted and the content has arrived: ext4 commits the
size of a file before its content is there, so that a name given earlier could stand above zeros after a
cut. Not on an ext4 with fast commits: after power cuts, some of those in which such files had got their
names could not be mounted any more. There a tile has a temporary name first, as on file systems without
`O_TMPFILE`.

The sidecars of a batch follow the same rule: made without a name where that is safe, which changes their
folder once and not three times.

tests/faults/test_power_cuts_of_files.py and test_crash_states.py cut the power of each kind.
"""

from __future__ import annotations

import os
from pathlib import Path

import attrs

_PROC, _SYS = Path("/proc"), Path("/sys")
_JOURNALS = frozenset({"data=ordered", "data=journal", "data=writeback"})
_FAST_COMMITS = frozenset({"fast_commit", "fc_debug_force"})
"""What kernels list for the feature, which is no option."""


@attrs.frozen
class Disk:
    """The device of a folder (`st_dev`), where it can do a thing; 0 where it can't, or does not say."""

    prewriting_device: int
    """Where files without a name get one safely."""
    name_syncing_device: int
    """Where the sync of a new file covers its name."""

    @classmethod
    def of(cls, descriptor: int, *, proc: Path = _PROC, sys: Path = _SYS) -> Disk:
        """That of an open folder."""
        device = os.fstat(descriptor).st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        try:
            kind, options = _mounted(proc, number)
        except (OSError, ValueError):
            return cls(0, 0)
        if kind == "ext4":
            try:
                name = (sys / "dev" / "block" / number).readlink().name
                # Lists what a mount table omits.
                options = set((proc / "fs" / "ext4" / name / "options").read_text().split())
            except OSError:
                return cls(0, 0)
            if options & _FAST_COMMITS:
                return cls(0, 0)
            one_sync = bool(options & _JOURNALS) and "journal_async_commit" not in options
        else:
            one_sync = kind == "xfs" and not any(o.startswith(("rtdev=", "logdev=")) for o in options)
        return cls(device, device if one_sync else 0)


def _mounted(proc: Path, number: str) -> tuple[str, set[str]]:
    """Kind and options of the file system on a device. Raises `ValueError` when it is in no mount table."""
    for line in (proc / "self" / "mountinfo").read_text(errors="replace").splitlines():
        place, _, system = line.partition(" - ")
        if place.split()[2] == number:
            kind, _, options = system.split(maxsplit=2)
            return kind, set(options.split(","))
    raise ValueError(f"nothing is mounted from device {number}")
