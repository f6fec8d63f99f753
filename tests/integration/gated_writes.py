"""A gated write of one tile, also run by an interpreter of its own under a tracer that makes calls fail."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aerotile.adapters.memory.example_jpeg import example_jpeg

PIXELS = example_jpeg(bytes(50_000))
DIGEST = hashlib.sha256(PIXELS).hexdigest()
TARGET = ("x", "5.jpg", ".5.jpg.1.tmp", "5.jpg.sha256", ".5.jpg.sha256.1.tmp", f"{DIGEST}  5.jpg\n".encode())
# Run by a new interpreter, so that a tracer or a limit meets nothing but this write.
PROLOGUE = f"""
import hashlib, os, sys
from aerotile.ext import GatedWrite, add_sidecars, rename_all, sync_file_system, write_temporaries
pixels = {PIXELS[:27]!r} + bytes({len(PIXELS) - 29}) + {PIXELS[-2:]!r}
write = GatedWrite(pixels, "{DIGEST}", len(pixels), 256)
target = {TARGET!r}
root = os.open(sys.argv[1], os.O_RDONLY)
os.umask(0o777)  # the mode has to be set
here = os.fstat(root).st_dev
"""
PLACE = """
try:
    write.place(root, target)
except OSError as error:
    print(error.errno, error)
"""
# As on a file system that syncs a new file's name with the file.
PLACE_WITH_ONE_SYNC = PLACE.replace("target)", "target, here)")
STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="needs strace to make system calls fail")


def run_python(script: str, root: Path, *, prologue: str = PROLOGUE, under: tuple[str, ...] = ()) -> str:
    ended = subprocess.run(
        [*under, sys.executable, "-c", prologue + script, str(root)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def inject(*faults: str) -> tuple[str, ...]:
    assert STRACE is not None
    return (
        STRACE,
        "-f",
        "-o",
        "/dev/null",
        # Other calls do not even stop at the tracer, which took most of the time of such a test.
        "--seccomp-bpf",
        "-e",
        "trace=" + ",".join(fault.partition(":")[0] for fault in faults),
        *(word for fault in faults for word in ("-e", f"inject={fault}")),
    )


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}
