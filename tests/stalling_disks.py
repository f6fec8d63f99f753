"""A real ext4 on a loop device whose blocks come from faults/stalling_disk.py, which waits when told to."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

NEEDED = ("losetup", "mkfs.ext4", "mount", "umount")
MISSING = [name for name in NEEDED if shutil.which(name) is None] + [
    path for path in ("/dev/fuse", "/dev/loop-control") if not Path(path).exists()
]
NEEDS_STALLING_DISK = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system"),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]
PROGRAM = Path(__file__).with_name("faults") / "stalling_disk.py"


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def until(condition: Callable[[], bool]) -> None:
    settled = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        settled.wait(0.05)
    raise AssertionError("it did not come to pass")


@attrs.define
class Disk:
    """The program that serves the blocks, and where they are mounted."""

    server: subprocess.Popen[str]
    mounted: Path
    loop: str

    def tell(self, command: str) -> None:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(command + "\n")
        self.server.stdin.flush()
        assert self.server.stdout.readline() == command + "\n"

    def mount_anew(self) -> None:
        """What was in memory is not any more."""
        run("umount", self.mounted)
        run("mount", self.loop, self.mounted)


@contextmanager
def stalling_disk(folder: Path) -> Iterator[Disk]:
    """A disk, formatted and mounted below `folder`."""
    served, mounted, content = folder / "served", folder / "mounted", folder / "content"
    served.mkdir()
    mounted.mkdir()
    with content.open("wb") as file:
        file.truncate(64 << 20)
    server = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(served), str(content)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    disk = Disk(server, mounted, "")
    undo: list[tuple[str | Path, ...]] = []
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "mounted\n"
        undo.append(("umount", served))
        disk.loop = run("losetup", "--find", "--show", served / "disk")
        undo.append(("losetup", "--detach", disk.loop))
        run("mkfs.ext4", "-q", disk.loop)
        run("mount", disk.loop, mounted)
        undo.append(("umount", mounted))
        yield disk
    finally:
        disk.tell("go")
        gc.collect()  # the errors that tests caught remember what was mapped where they were raised
        while undo:  # threads that were left behind may be on their way back, and have files open until then
            until(lambda: subprocess.run(undo[-1], check=False, capture_output=True).returncode == 0)
            undo.pop()
        server.communicate(timeout=60)  # closes its input, at which it ends
