"""File systems on loop devices whose power tests cut, and whose blocks they own."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import attrs
import pytest
from waiting import until

from aerotile.adapters.filesystem.disk import Disk

SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
WITHOUT_FLUSHING_THE_LOG = struct.pack("I", 2)
SMALLEST_BYTES = 320 << 20
"""The least that XFS takes; files are sparse."""
PACKAGES = {"ext4": "e2fsprogs", "xfs": "xfsprogs", "btrfs": "btrfs-progs"}
"""Debian's, that make each kind of file system."""


def make_file_system(kind: str, node: str | Path, *arguments: str) -> None:
    """Make a file system on a device or in a file; skips the test where the program is missing."""
    program = shutil.which(f"mkfs.{kind}")
    if program is None:
        pytest.skip(f"needs mkfs.{kind} (Debian package {PACKAGES[kind]})")
    subprocess.run([program, "-q", *arguments, str(node)], check=True, capture_output=True)


def attach(image: Path) -> str:
    """A loop device over a file; skips the test where there is none to be had."""
    loop = subprocess.run(
        ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=False
    )
    if loop.returncode != 0:
        pytest.skip(f"this machine has no loop device: {loop.stderr.strip()}")
    return loop.stdout.strip()


MISSING_FOR_A_SERVED_DISK = [
    *(name for name in ("losetup", "mkfs.ext4", "mount", "umount") if shutil.which(name) is None),
    *(path for path in ("/dev/fuse", "/dev/loop-control") if not Path(path).exists()),
]


@attrs.frozen
class ServedDisk:
    """A loop device whose blocks come from a program, and that program."""

    server: subprocess.Popen[str]
    node: str

    def tell(self, command: str) -> str:
        """Give it a command and return its answer."""
        self.server.stdin.write(command + "\n")
        self.server.stdin.flush()
        return self.server.stdout.readline().removesuffix("\n")


@contextmanager
def served_disk(program: Path, folder: Path, content: str) -> Iterator[ServedDisk]:
    """Start a program that serves a disk, and attach it; whoever mounts it unmounts it."""
    served = folder / "served"
    served.mkdir()
    command = [sys.executable, str(program), str(served), content]
    with ExitStack() as undo:
        server = undo.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        undo.callback(server.stdin.close)  # at which it ends
        assert server.stdout.readline() == "mounted\n"
        undo.callback(until_done, "umount", str(served))
        node = attach(served / "disk")
        undo.callback(until_done, "losetup", "--detach", node)
        yield ServedDisk(server, node)


def until_done(*command: str) -> None:
    """Run a command until it succeeds: who was killed or left behind may have files open for a moment."""
    for _ in range(6000):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.01)
    pytest.fail(done.stderr.strip())


@attrs.frozen
class Device:
    """A block device, and where the file system on it is mounted."""

    node: str
    mount: Path
    options: str = ""

    def plug_in(self) -> None:
        """Mount it, which replays the journal."""
        refusal = self._mount()
        if refusal:
            pytest.fail(refusal)

    def _mount(self) -> str:
        """Mount it; why that is not possible, or nothing."""
        command = ["mount", "-o", self.options or "defaults", self.node, str(self.mount)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()

    @contextmanager
    def inserted(self) -> Iterator[None]:
        """Mount it for a while; whoever is there at the end, or when the test fails, has to go.

        Skips the test where mounting is not allowed.
        """
        self.mount.mkdir()
        refusal = self._mount()
        if refusal:
            pytest.skip(f"this machine can't mount it: {refusal}")
        try:
            yield
        finally:
            self.kill_residents()
            subprocess.run(["umount", "--lazy", str(self.mount)], check=False, capture_output=True)

    def cut_power(self) -> None:
        """From now on nothing reaches the device any more."""
        descriptor = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_FLUSHING_THE_LOG)
        finally:
            os.close(descriptor)

    def unplug(self) -> None:
        """Unmount it, once the processes that were killed are gone, and wait until nobody has it open."""
        # A process that was killed under strace may go on dying for a moment after strace.
        until_done("umount", str(self.mount))
        # While a namespace that somebody made meanwhile holds the mount, it goes on: what is mounted again
        # would be the same file system, still without power.
        until(self._is_free, f"{self.node} stays busy")

    def _is_free(self) -> bool:
        try:
            os.close(os.open(self.node, os.O_RDWR | os.O_EXCL))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    def kill_residents(self) -> None:
        """Kill every process whose working folder is on the device, as a server's processes have it.

        Like any power cut, that ends their System V shared memory, which outlives a process.
        """
        killed: set[int] = set()
        while residents := self._residents():
            for pid in residents:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed.update(residents)
            time.sleep(0.005)
        if killed:
            _, *segments = Path("/proc/sysvipc/shm").read_text().splitlines()
            for _key, segment, _permissions, _size, creator, *_ in map(str.split, segments):
                if int(creator) in killed:
                    subprocess.run(["ipcrm", "--shmem-id", segment], check=False, capture_output=True)

    def _residents(self) -> list[int]:
        residents = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    if (entry / "cwd").readlink().is_relative_to(self.mount):
                        residents.append(int(entry.name))
        return residents

    def syncs_names(self) -> bool:
        """Whether the store takes the sync of a new file for enough."""
        descriptor = os.open(self.mount, os.O_RDONLY)
        try:
            return Disk.of(descriptor).name_syncing_device != 0
        finally:
            os.close(descriptor)


@attrs.define
class DeviceMaker:
    """Makes devices with a file system on them, mounted until `undo` is closed."""

    folder: Path
    undo: ExitStack
    made: list[Device] = attrs.field(factory=list)

    def __call__(self, kind: str, *arguments: str, options: str = "") -> Device:
        image = self.folder / f"image{len(self.made)}"
        with image.open("wb") as file:
            file.truncate(SMALLEST_BYTES)
        make_file_system(kind, image, *arguments)
        node = attach(image)
        self.undo.callback(subprocess.run, ["losetup", "--detach", node], check=False)
        device = Device(node, self.folder / f"mount{len(self.made)}", options)
        self.made.append(device)
        self.undo.enter_context(device.inserted())
        return device
