"""The gated write against the operating system: what it leaves on the disk, and what failures leave."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.policies.jpeg import JpegFault
from aerotile.ext import (
    GatedWrite,
    GateRefusedError,
    HashedPixels,
    add_sidecars,
    hash_pixels,
    is_readable,
    rename_all,
    sync_file_system,
    walk_jpeg,
    write_temporaries,
)

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x").mkdir()
    return tmp_path / "x"


@pytest.fixture
def root(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def write() -> GatedWrite:
    return GatedWrite(PIXELS, DIGEST, len(PIXELS), 256)


def run_python(script: str, root: Path, *, under: tuple[str, ...] = ()) -> str:
    ended = subprocess.run(
        [*under, sys.executable, "-c", PROLOGUE + script, str(root)],
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
        *(word for fault in faults for word in ("-e", f"inject={fault}")),
    )


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@pytest.mark.parametrize(
    ("pixels", "what"),
    [(PIXELS + b"\0", "length"), (PIXELS[:-1] + b"\0", "SHA-256")],
)
def test_bytes_that_were_not_promised_are_refused(pixels: bytes, what: str) -> None:
    with pytest.raises(GateRefusedError) as caught:
        GatedWrite(pixels, DIGEST, len(PIXELS), 256)
    assert caught.value.what == what
    assert str(caught.value.expected) in str(caught.value)
    assert str(caught.value.actual) in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "fault"),
    [
        (b"GIF89a\xff\xd9", JpegFault.NO_START),
        (PIXELS[:-2], JpegFault.CUT_SHORT),
        (example_jpeg(tile_size_pixels=512), JpegFault.NONE),
    ],
)
def test_a_refusal_holds_what_the_walk_over_the_markers_found(pixels: bytes, fault: JpegFault) -> None:
    digest = hashlib.sha256(pixels).hexdigest()
    for given in (pixels, *hash_pixels([pixels])):
        with pytest.raises(GateRefusedError) as caught:
            GatedWrite(given, digest, len(pixels), 256)
        assert (caught.value.what, caught.value.actual) == ("JPEG", walk_jpeg(pixels))
        assert walk_jpeg(pixels)[0] == fault
    if fault is JpegFault.NONE:
        GatedWrite(pixels, digest, len(pixels), 512)


def test_pixels_that_were_hashed_with_many_pass_the_gate_as_they_would_alone() -> None:
    many = [example_jpeg(bytes(length)) for length in (0, 1, 63, 64, 65, 100_000)]
    for pixels, hashed in zip(many, hash_pixels(many), strict=True):
        GatedWrite(hashed, hashlib.sha256(pixels).hexdigest(), len(pixels), 256)
        with pytest.raises(GateRefusedError, match="SHA-256"):
            GatedWrite(hashed, DIGEST, len(pixels), 256)
        with pytest.raises(GateRefusedError, match="length"):
            GatedWrite(hashed, hashlib.sha256(pixels).hexdigest(), len(pixels) + 1, 256)
    assert hash_pixels([]) == []


def test_nothing_but_bytes_is_hashed_and_what_nobody_hashed_is_refused() -> None:
    with pytest.raises(TypeError):
        hash_pixels([bytearray(PIXELS)])  # type: ignore[list-item]  # what is refused
    with pytest.raises(TypeError, match="not hashed"):
        GatedWrite(HashedPixels(PIXELS), "0" * 64, len(PIXELS), 256)


def test_without_openssl_many_are_hashed_all_the_same(folder: Path) -> None:
    hashed_by_hashlib = """
import sys
sys.modules["_hashlib"] = None
import hashlib
from aerotile.ext import GatedWrite, hash_pixels
loaded = open("/proc/self/maps").read()
pixels = bytes.fromhex("%HEX%")
GatedWrite(hash_pixels([pixels])[0], hashlib.sha256(pixels).hexdigest(), len(pixels), 256)
print("libcrypto" in loaded)
"""
    answer = subprocess.run(
        [sys.executable, "-c", hashed_by_hashlib.replace("%HEX%", example_jpeg().hex())],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert answer.stdout.strip() == "False"


def test_the_files_are_read_only_and_whole_whatever_the_umask(
    root: int, folder: Path, write: GatedWrite
) -> None:
    earlier = os.umask(0o777)
    try:
        write.place(root, TARGET)
    finally:
        os.umask(earlier)
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir()} == {0o440}
    assert (folder / "5.jpg").read_bytes() == PIXELS


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_accepts_the_sidecar_and_notices_a_changed_tile(
    root: int, folder: Path, write: GatedWrite
) -> None:
    write.place(root, TARGET)
    command = ["sha256sum", "--strict", "-c", "5.jpg.sha256"]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    (folder / "5.jpg").chmod(0o640)
    (folder / "5.jpg").write_bytes(PIXELS[:-3] + b"\1\xff\xd9")
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1


def test_a_symbolic_link_in_the_folders_place_is_not_followed(
    root: int, folder: Path, write: GatedWrite
) -> None:
    elsewhere = folder.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    with pytest.raises(OSError):  # noqa: PT011  # ELOOP or ENOTDIR, by the kernel
        write.place(root, TARGET)
    assert names(elsewhere) == set()


def test_a_symbolic_link_in_the_tiles_place_is_replaced_not_followed(
    root: int, folder: Path, write: GatedWrite
) -> None:
    precious = folder.parent / "precious"
    precious.write_text("keep me")
    (folder / "5.jpg").symlink_to(precious)
    write.place(root, TARGET)
    assert precious.read_text() == "keep me"
    assert not (folder / "5.jpg").is_symlink()


def test_another_writers_temporary_file_is_left_alone(root: int, folder: Path, write: GatedWrite) -> None:
    (folder / ".5.jpg.1.tmp").write_text("theirs")
    with pytest.raises(FileExistsError, match="open"):
        write.place(root, TARGET)
    assert names(folder) == {".5.jpg.1.tmp"}
    assert (folder / ".5.jpg.1.tmp").read_text() == "theirs"


def test_the_steps_of_a_batch_make_what_a_single_write_makes(
    root: int, folder: Path, write: GatedWrite
) -> None:
    assert write_temporaries(root, [write], [TARGET]) == [None]
    assert names(folder) == {".5.jpg.1.tmp"}
    sync_file_system(root)
    assert rename_all(root, [write]) == [None]
    assert names(folder) == {"5.jpg"}
    assert add_sidecars(root, [write]) == [None]
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}


def test_withdrawing_between_the_halves_removes_the_temporaries(
    root: int, folder: Path, write: GatedWrite
) -> None:
    write_temporaries(root, [write], [TARGET])
    write.withdraw(root)
    assert names(folder) == set()


def test_withdrawing_removes_only_what_is_still_its_own(root: int, folder: Path, write: GatedWrite) -> None:
    write.place(root, TARGET)
    (folder / "5.jpg").rename(folder / "kept")  # the inode lives on, so its number is not given out again
    (folder / "5.jpg").write_bytes(PIXELS)
    same_time = (folder / "kept").stat().st_mtime_ns
    os.utime(folder / "5.jpg", ns=(same_time, same_time))
    write.withdraw(root)
    assert names(folder) == {"5.jpg", "kept"}


def test_withdrawing_leaves_a_new_file_alone_that_was_given_the_old_inode_number(
    root: int, folder: Path, write: GatedWrite
) -> None:
    write.place(root, TARGET)
    inode = (folder / "5.jpg").stat().st_ino
    (folder / "5.jpg").unlink()
    for number in range(2000):
        candidate = folder / str(number)
        candidate.write_bytes(b"another writer's")
        if candidate.stat().st_ino == inode:
            break
    else:
        pytest.skip("this file system does not give inode numbers out again soon")
    candidate.rename(folder / "5.jpg")
    write.withdraw(root)
    assert (folder / "5.jpg").read_bytes() == b"another writer's"


def test_withdrawing_from_a_folder_that_is_gone_does_nothing(
    root: int, folder: Path, write: GatedWrite
) -> None:
    write.place(root, TARGET)
    shutil.rmtree(folder)
    write.withdraw(root)


def test_steps_out_of_order_are_refused(root: int, write: GatedWrite) -> None:
    with pytest.raises(RuntimeError, match="nothing was written"):
        rename_all(root, [write])
    with pytest.raises(RuntimeError, match="nothing was written"):
        add_sidecars(root, [write])
    write.place(root, TARGET)
    with pytest.raises(RuntimeError, match="nothing was written"):
        add_sidecars(root, [write])
    with pytest.raises(RuntimeError):
        write.place(root, TARGET)


@pytest.mark.parametrize("name", ["../5.jpg", "a/5.jpg", "5\0.jpg"])
def test_a_name_that_leaves_the_folder_is_refused(
    root: int, folder: Path, write: GatedWrite, name: str
) -> None:
    with pytest.raises(ValueError, match="name of a file"):
        write.place(root, (TARGET[0], name, *TARGET[2:]))
    with pytest.raises(TypeError):
        write.place(root, (*TARGET[:5], "a line as text"))  # type: ignore[arg-type]  # what is refused
    assert names(folder) == set()


@needs_strace
@pytest.mark.parametrize(
    ("faults", "call"),
    [
        (["write:error=ENOSPC:when=1"], "write"),
        (["write:error=EIO:when=2"], "write"),
        (["write:retval=0:when=1"], "write"),
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
ELSEWHERE = PLACE.replace("try:", "write.prewrite(root, target, here + 1)\ntry:")


@needs_strace
@pytest.mark.parametrize(
    "fault",
    [
        "write:error=ENOSPC:when=1",
        "write:error=EIO:when=2",
        "sync_file_range:error=EIO:when=1",
        "sync_file_range:error=EIO:when=2",
        "linkat:error=EPERM:when=1",
        "linkat:error=EPERM:when=2",
    ],
)
@pytest.mark.parametrize("script", [AHEAD, AHEAD_WITH_ONE_SYNC], ids=["two syncs", "one sync"])
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
    run_python(script, folder.parent, under=(STRACE, "-f", "-y", "-o", str(log), "-e", f"trace={calls}"))
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
        (PLACE, ["sync_file_range", "rename", "rename", "fsync", "fsync folder"]),
        (PLACE_WITH_ONE_SYNC, ["sync_file_range", "rename", "rename", "fsync"]),
        (AHEAD, ["sync_file_range", "sync_file_range", "link", "link", "fsync", "fsync folder"]),
        (AHEAD_WITH_ONE_SYNC, ["sync_file_range", "sync_file_range", "link", "link", "fsync"]),
        (ELSEWHERE, ["sync_file_range", "rename", "rename", "fsync", "fsync folder"]),
    ],
    ids=["two syncs", "one sync", "ahead two syncs", "ahead one sync", "on another device"],
)
def test_the_tile_is_synced_under_its_name_and_the_folder_where_that_is_not_enough(
    folder: Path, script: str, made: list[str]
) -> None:
    assert calls_of(script, folder) == made


@needs_strace
@pytest.mark.parametrize("time", [1, 2])
def test_a_failing_sync_of_what_was_written_ahead_leaves_nothing_behind(folder: Path, time: int) -> None:
    printed = run_python(AHEAD, folder.parent, under=inject(f"fsync:error=EIO:when={time}"))
    assert "(fsync)" in printed
    assert names(folder) == set()


def test_an_answer_is_awaited_behind_what_is_written_ahead(root: int, write: GatedWrite) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        answer = threading.Timer(0.05, theirs.sendall, [b"x"])
        answer.start()
        write.prewrite(root, TARGET, os.fstat(root).st_dev, ours.fileno(), 600_000)
        assert is_readable(ours.fileno())
        answer.join()
    write.place(root, TARGET)


def test_an_answer_that_does_not_come_is_not_awaited_for_ever(
    root: int, folder: Path, write: GatedWrite
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        write.prewrite(root, TARGET, os.fstat(root).st_dev, ours.fileno(), 1)
    write.place(root, TARGET)
    assert names(folder) == {"5.jpg", "5.jpg.sha256"}


@pytest.mark.parametrize("size", [100, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 20])
def test_bytes_of_any_size_are_held_to_their_hash(size: int) -> None:
    # Few are hashed with the interpreter's lock, many without it.
    pixels = PIXELS[:27] + bytes(size - 29) + PIXELS[-2:]
    other = PIXELS[:27] + bytes(size - 30) + b"\x01" + PIXELS[-2:]
    digest = hashlib.sha256(pixels).hexdigest()
    GatedWrite(pixels, digest, size, 256)
    with pytest.raises(GateRefusedError) as caught:
        GatedWrite(other, digest, size, 256)
    assert caught.value.actual == hashlib.sha256(other).hexdigest()


def test_what_was_written_ahead_ends_with_its_object(root: int, folder: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        GatedWrite(PIXELS, DIGEST, len(PIXELS), 256).prewrite(root, TARGET, os.fstat(root).st_dev)
    assert names(folder) == set()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_was_written_ahead_has_its_mode_whatever_the_umask(
    root: int, folder: Path, write: GatedWrite
) -> None:
    earlier = os.umask(0o777)
    try:
        write.prewrite(root, TARGET, os.fstat(root).st_dev)
        write.place(root, TARGET, os.fstat(root).st_dev)
    finally:
        os.umask(earlier)
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir()} == {0o440}


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


def test_a_forked_child_writes_with_what_is_its_own(root: int, folder: Path, write: GatedWrite) -> None:
    write.place(root, TARGET)
    script = f"""
import sys
write.place(root, target)
if os.fork() == 0:
    again = GatedWrite(pixels, "{DIGEST}", len(pixels), 256)
    again.place(root, (target[0], "6.jpg", ".6.tmp", "6.jpg.sha256", ".6s.tmp", target[5]))
    os._exit(0)
print(os.wait()[1])
"""
    write.withdraw(root)
    assert run_python(script, folder.parent) == "0\n"
    assert names(folder) == {"5.jpg", "5.jpg.sha256", "6.jpg", "6.jpg.sha256"}


def batch_of(count: int) -> tuple[list[GatedWrite], list[tuple[str, str, str, str, str, bytes]]]:
    writes = [GatedWrite(PIXELS, DIGEST, len(PIXELS), 256) for _ in range(count)]
    targets = [
        ("x" if y % 2 else "z", f"{y}.jpg", f".{y}.tmp", f"{y}.jpg.sha256", f".{y}s.tmp", TARGET[5])
        for y in range(count)
    ]
    return writes, targets


def test_in_a_batch_a_write_that_fails_keeps_none_of_the_others(root: int, folder: Path) -> None:
    writes, targets = batch_of(6)  # every other one in a folder that is not there
    errors = write_temporaries(root, writes, targets)
    assert [isinstance(error, FileNotFoundError) for error in errors] == [True, False] * 3
    assert names(folder) == {f".{y}.tmp" for y in (1, 3, 5)}
    (folder / ".3.tmp").unlink()
    renamed = rename_all(root, [writes[1], writes[3], writes[5]])
    assert [error is None for error in renamed] == [True, False, True]
    assert names(folder) == {"1.jpg", "5.jpg"}
    (folder / "5.jpg.sha256").mkdir()
    added = add_sidecars(root, [writes[1], writes[5]])
    assert [error is None for error in added] == [True, False]
    assert names(folder) == {"1.jpg", "1.jpg.sha256", "5.jpg.sha256"}
    assert (folder / "1.jpg.sha256").read_bytes() == TARGET[5]


def test_a_batch_of_nothing_does_nothing(root: int) -> None:
    assert write_temporaries(root, [], []) == []
    assert rename_all(root, []) == []
    assert add_sidecars(root, []) == []


def test_a_misused_batch_is_refused_and_its_writes_stay_usable(root: int, folder: Path) -> None:
    (folder.parent / "z").mkdir()
    writes, targets = batch_of(2)
    with pytest.raises(ValueError, match="2 writes, 1 targets"):
        write_temporaries(root, writes, targets[:1])
    with pytest.raises(TypeError):
        write_temporaries(root, [writes[0], "no write"], targets)  # type: ignore[list-item]  # what is refused
    with pytest.raises(RuntimeError, match="in the middle"):
        write_temporaries(root, [writes[0], writes[0]], targets)
    with pytest.raises(TypeError):
        write_temporaries(root, writes, None)  # type: ignore[arg-type]  # what is refused
    assert names(folder) == names(folder.parent / "z") == set()
    assert write_temporaries(root, writes, targets) == [None, None]


@needs_strace
def test_a_failing_rename_of_the_second_half_leaves_nothing_behind(folder: Path) -> None:
    script = """
write_temporaries(root, [write], [target])
print(rename_all(root, [write]), add_sidecars(root, [write]))
"""
    printed = run_python(script, folder.parent, under=inject("renameat,renameat2:error=EIO:when=2"))
    assert printed.startswith("[None]")
    assert "(rename)" in printed
    assert names(folder) == set()


@needs_strace
def test_a_failing_sync_of_the_file_system_is_an_os_error(folder: Path) -> None:
    script = """
try:
    sync_file_system(root)
except OSError as error:
    print(error)
"""
    assert "(syncfs)" in run_python(script, folder.parent, under=inject("syncfs:error=EIO:when=1"))


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
