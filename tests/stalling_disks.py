"""A real ext4 on a loop device whose blocks come from faults/stalling_disk.py, which waits when told to."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from block_devices import MISSING_FOR_A_SERVED_DISK, Device, ServedDisk, make_file_system, served_disk

NEEDS_STALLING_DISK = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system"),
    pytest.mark.skipif(
        bool(MISSING_FOR_A_SERVED_DISK), reason=f"needs {', '.join(MISSING_FOR_A_SERVED_DISK)}"
    ),
]
PROGRAM = Path(__file__).with_name("faults") / "stalling_disk.py"


@attrs.frozen
class Disk:
    """A disk that can be told to stop, and where it is mounted."""

    served: ServedDisk
    device: Device

    @property
    def mounted(self) -> Path:
        return self.device.mount

    def tell(self, command: str) -> None:
        assert self.served.tell(command) == command

    def mount_anew(self) -> None:
        """What was in memory is not any more."""
        self.device.unplug()
        self.device.plug_in()


@contextmanager
def stalling_disk(folder: Path) -> Iterator[Disk]:
    """A disk, formatted and mounted below `folder`."""
    content = folder / "content"
    with content.open("wb") as file:
        file.truncate(64 << 20)
    with served_disk(PROGRAM, folder, str(content)) as served:
        make_file_system("ext4", served.node)
        device = Device(served.node, folder / "mounted")
        with device.inserted():
            disk = Disk(served, device)
            try:
                yield disk
            finally:
                disk.tell("go")
                gc.collect()  # the errors that tests caught remember what was mapped where they were raised
                device.unplug()  # waits for threads that were left behind and are on their way back
