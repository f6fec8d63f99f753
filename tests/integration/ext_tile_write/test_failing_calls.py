"""A gated write whose system calls fail, are interrupted or are slow: named, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from gated_writes import PIXELS, PLACE, PLACE_WITH_ONE_SYNC, STRACE, inject, names, needs_strace, run_python


@needs_strace
@pytest.mark.parametrize(
    ("faults", "call"),
    [
        (["write:error=ENOSPC:when=1"], "write"),
        (["write:error=EIO:when=2"], "write"),
        (["write:retval=0:when=1"], "write"),
        (["sync_file_range:error=EIO:when=1"], "sync_file_range"),
        (["sync_file_range:error=EIO:when=2"], "sync_file_range"),
        (["renameat,renameat2:error=EIO:when=1"], "rename"),
        (["renameat,renameat2:error=EIO:when=2"], "rename"),
        (["fsync:error=EIO:when=1"], "fsync"),
        (["fsync:error=EIO:when=2"], "fsync"),
    ],
)
def test_a_failing_call_is_named_and_leaves_nothing_behind(
    folder: Path, faults: list[str], call: str
) -> None:
    printed = run_python(PLACE, folder.parent, under=inject(*faults))
    assert f"({call})" in printed
    assert names(folder) == set()


@needs_strace
@pytest.mark.parametrize("file", [1, 2])
def test_a_mode_that_can_not_be_set_is_named_and_leaves_nothing_behind(folder: Path, file: int) -> None:
    fault = inject(f"fchmod:error=EPERM:when={file}")
    printed = run_python("os.umask(0o777)" + PLACE, folder.parent, under=fault)
    assert "(fchmod)" in printed
    assert names(folder) == set()


@needs_strace
@pytest.mark.parametrize(
    ("fault", "call"),
    [
        ("write:error=ENOSPC:when=2", "write"),
        ("sync_file_range:error=EIO:when=1", "sync_file_range"),
        ("renameat,renameat2:error=EIO:when=2", "rename"),
        ("fsync:error=EIO:when=1", "fsync"),
    ],
)
def test_a_failing_call_where_one_sync_is_enough_leaves_nothing_behind_either(
    folder: Path, fault: str, call: str
) -> None:
    printed = run_python(PLACE_WITH_ONE_SYNC, folder.parent, under=inject(fault))
    assert f"({call})" in printed
    assert names(folder) == set()


AHEAD, AHEAD_WITH_ONE_SYNC = (
    place.replace("try:", "write.prewrite(root, target, here)\ntry:")
    for place in (PLACE, PLACE_WITH_ONE_SYNC)
)
ANSWERED = PLACE.replace(
    "try:",
    """
import socket
from aerotile.ext import AwaitedInsert
ours, theirs = socket.socketpair()
theirs.sendall(b"C\\0\\0\\0\\x0fINSERT 0 1\\0Z\\0\\0\\0\\x05T")
write.prewrite(root, target, here, 0, AwaitedInsert(ours.fileno()), 600_000)
try:""",
)
"""The row's answer is there, so that `prewrite` places the tile."""
ELSEWHERE = PLACE.replace("try:", "write.prewrite(root, target, here + 1)\ntry:")


@needs_strace
@pytest.mark.parametrize(
    "fault",
    [
        "write:error=ENOSPC:when=1",
        "write:error=EIO:when=2",
        "sync_file_range:error=EIO:when=1",
        "sync_file_range:error=EIO:when=2",
        "sync_file_range:error=EIO:when=3",
        "linkat:error=EPERM:when=1",
        "linkat:error=EPERM:when=2",
    ],
)
@pytest.mark.parametrize(
    "script", [AHEAD, AHEAD_WITH_ONE_SYNC, ANSWERED], ids=["two syncs", "one sync", "answered"]
)
def test_what_can_not_be_written_ahead_is_written_in_its_place(folder: Path, fault: str, script: str) -> None:
    printed = run_python(script, folder.parent, under=inject(fault))
    assert printed == ""
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}
    assert (folder / "5.jpg").read_bytes() == PIXELS


def calls_of(script: str, folder: Path) -> list[str]:
    """The calls, in order, that name files or bring them to the disk."""
    log = folder.parent / "trace"
    calls = "sync_file_range,linkat,renameat,renameat2,fsync,fdatasync"
    assert STRACE is not None
    tracer = (STRACE, "-f", "-y", "-o", str(log), "--seccomp-bpf", "-e", f"trace={calls}")
    run_python(script, folder.parent, under=tracer)
    made = []
    for line in log.read_text().splitlines():
        if "(" in line:
            call = line.split("(")[0].split()[-1].removesuffix("at2").removesuffix("at")
            made.append(f"{call} folder" if call == "fsync" and "/x>" in line else call)
    return made


@needs_strace
@pytest.mark.parametrize(
    ("script", "made"),
    [
        (PLACE, [*2 * ["sync_file_range"], "rename", "rename", "fsync", "fsync folder"]),
        (PLACE_WITH_ONE_SYNC, [*2 * ["sync_file_range"], "rename", "rename", "fsync"]),
        (AHEAD, [*3 * ["sync_file_range"], "link", "link", "fsync", "fsync folder"]),
        (AHEAD_WITH_ONE_SYNC, [*3 * ["sync_file_range"], "link", "link", "fsync"]),
        (ANSWERED, [*3 * ["sync_file_range"], "link", "link", "fsync", "fsync folder"]),
        (ELSEWHERE, [*2 * ["sync_file_range"], "rename", "rename", "fsync", "fsync folder"]),
    ],
    ids=["two syncs", "one sync", "ahead two syncs", "ahead one sync", "answered", "on another device"],
)
def test_the_tile_is_synced_under_its_name_and_the_folder_where_that_is_not_enough(
    folder: Path, script: str, made: list[str]
) -> None:
    assert calls_of(script, folder) == made


@needs_strace
@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("script", [AHEAD, ANSWERED], ids=["placed", "answered"])
def test_a_failing_sync_of_what_was_written_ahead_leaves_nothing_behind(
    folder: Path, script: str, time: int
) -> None:
    printed = run_python(script, folder.parent, under=inject(f"fsync:error=EIO:when={time}"))
    assert "(fsync)" in printed
    assert names(folder) == set()


@needs_strace
@pytest.mark.parametrize(
    "place",
    [PLACE, PLACE_WITH_ONE_SYNC, AHEAD, AHEAD_WITH_ONE_SYNC],
    ids=["two syncs", "one sync", "ahead two syncs", "ahead one sync"],
)
@pytest.mark.parametrize("call", ["write", "sync_file_range", "fsync", "openat2"])
def test_an_interrupted_call_is_made_again(folder: Path, place: str, call: str) -> None:
    printed = run_python(place, folder.parent, under=inject(f"{call}:error=EINTR:when=1"))
    assert printed == ""
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}


def test_a_write_cut_short_by_a_limit_leaves_nothing_behind(folder: Path) -> None:
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
"""
    printed = run_python(script + PLACE, folder.parent)
    assert "(write)" in printed
    assert names(folder) == set()


@needs_strace
def test_other_threads_run_while_the_disk_is_slow(folder: Path) -> None:
    # With the GIL held across the write, this thread could see the folder only before it or after it.
    script = """
import threading
placing = threading.Thread(target=write.place, args=(root, target))
placing.start()
seen = set()
while placing.is_alive():
    seen.update(os.listdir(sys.argv[1] + "/x"))
print(sorted(seen & {".5.jpg.1.tmp", ".5.jpg.sha256.1.tmp"}))
"""
    printed = run_python(script, folder.parent, under=inject("renameat,renameat2:delay_enter=300000"))
    assert printed.split() == ["['.5.jpg.1.tmp',", "'.5.jpg.sha256.1.tmp']"]
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}


@needs_strace
def test_a_second_thread_on_the_same_write_is_turned_away(folder: Path) -> None:
    script = """
import threading
placing = threading.Thread(target=write.place, args=(root, target))
placing.start()
while not os.listdir(sys.argv[1] + "/x"):
    pass
calls = [lambda: write.place(root, target), lambda: write.withdraw(root), lambda: rename_all(root, [write])]
for call in calls:
    try:
        call()
    except RuntimeError as error:
        print(error)
placing.join()
"""
    printed = run_python(script, folder.parent, under=inject("fsync:delay_enter=300000"))
    assert printed.count("another thread") == 3
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}
