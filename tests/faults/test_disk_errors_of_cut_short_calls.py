"""Calls without a descriptor left, and writes that are cut short."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from disk_faults import attached, needs_strace
from fault_tally import FaultTally
from open_descriptors import leaving_none_open
from small_store import TILE_BYTES, SmallStore
from waiting import until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount small file systems"),
]


def test_without_descriptors_writes_and_reads_fail_and_recover(
    tmp_path: Path, opened: Callable[[Path], SmallStore], fault_tally: FaultTally
) -> None:
    cache = opened(tmp_path / "tiles")
    assert cache.write(1, 1) is None
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    runs = 0
    with leaving_none_open():
        for spare in range(6):
            resource.setrlimit(resource.RLIMIT_NOFILE, (_next_descriptor() + spare, limits[1]))
            try:
                alone = cache.write(10 + spare, 1)
                batch = cache.write_batch(20 + spare, 12)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for error in (alone, *batch):
                if error is not None:
                    runs += 1
                    assert "Too many open files" in str(error)
                    assert "ulimit -n" in (error.remedy or "")
        assert runs > 20
        cache.assert_whole()
        assert cache.write(2, 1) is None
    fault_tally.add("no descriptors left", runs)


def _next_descriptor() -> int:
    descriptor = os.open("/", os.O_RDONLY)
    os.close(descriptor)
    return descriptor


# Its first write of pixels is cut short by a limit on the size of files, and stops it there.
CUT_SHORT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from small_store import SmallStore
cache = SmallStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(cache.write(1, 1), flush=True)
cache.assert_whole()
print(len(cache.committed()), flush=True)
sys.stdin.readline()
"""


class _Traced:
    def __init__(self, pid: int) -> None:
        self.pid = pid


@needs_strace
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_short_write_is_gone_on_with_or_leaves_nothing(
    tmp_path: Path, goes_on: bool, fault_tally: FaultTally
) -> None:
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", CUT_SHORT, str(tmp_path / "tiles"), str(here), str(here.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (TILE_BYTES // 2, resource.RLIM_INFINITY))
        # The sidecar's write is the first, the pixels' the second, which is cut short.
        stop = ("-o", "/dev/null", "-e", "inject=write:signal=SIGSTOP:when=2")
        with attached(_Traced(process.pid), *stop):  # type: ignore[arg-type] # its pid is all that it takes
            process.stdin.write("\n")
            process.stdin.flush()
            until(
                lambda: (
                    TILE_BYTES // 2 in [path.stat().st_size for path in (tmp_path / "tiles").rglob("*.tmp")]
                )
            )
            if goes_on:
                unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
            while not select.select([process.stdout], [], [], 0.05)[0]:
                os.kill(process.pid, signal.SIGCONT)  # again: it may have come before the stop
            said = process.stdout.readline()
        assert said == "None\n" if goes_on else "File too large" in said
        assert process.stdout.readline() == f"{int(goes_on)}\n"
    finally:
        process.kill()
        process.communicate()
    fault_tally.add("short write", 1)
