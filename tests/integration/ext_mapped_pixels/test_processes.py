"""Mapped pixels in forks, at the exit of the interpreter, and on older kernels."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from mapped_tiles import CONTENT, PATH, needs_a_disk, needs_cached_opens, run_python
from older_kernel import REFUSE


def test_a_forked_child_reads_and_closes_its_own_copy(root: Path) -> None:
    ended = run_python(
        """
handle = map_tile(folder, tile)
before = bytes(handle)
child = os.fork()
if child == 0:
    same = bytes(handle) == before
    handle.close()
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert bytes(handle) == before
""",
        root,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "script",
    [
        "handle = map_tile(folder, tile)",
        "view = memoryview(map_tile(folder, tile))",
        "import numpy; pixels = numpy.frombuffer(map_tile(folder, tile), 'u1')",
        "handle = map_tile(folder, tile); sys.kept = [handle, memoryview(handle)]",
        "cycle = []; cycle.append((cycle, memoryview(map_tile(folder, tile))))",
    ],
    ids=["handle", "view", "array", "both kept by sys", "cycle"],
)
def test_the_interpreter_exits_cleanly_with_mappings_open(root: Path, script: str) -> None:
    ended = run_python(script, root)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_interpreter_exits_cleanly_while_a_daemon_thread_maps(root: Path) -> None:
    ended = run_python(
        """
import threading
started = threading.Event()
def work():
    while True:
        with map_tile(folder, tile) as handle:
            bytes(handle)
        started.set()
threading.Thread(target=work, daemon=True).start()
started.wait()
""",
        root,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


STRACE = shutil.which("strace")


@pytest.mark.skipif(STRACE is None, reason="needs strace to take openat2 away")
@pytest.mark.parametrize("answer", ["ENOSYS", "EPERM"])
def test_a_kernel_without_openat2_is_as_strict(root: Path, answer: str) -> None:
    (root / "link-to-file").symlink_to(PATH)
    (root / "link-to-folder").symlink_to("imported")
    assert STRACE is not None
    ended = run_python(
        """
with map_tile(folder, tile) as handle:
    print(handle.nbytes)
from aerotile.ext import map_cached_tile, read_cached_tile, read_tile, tile_is_there
assert map_cached_tile(folder, tile) is None and read_cached_tile(folder, tile) is None
assert tile_is_there(folder, tile)
print(len(read_tile(folder, tile)))
for path in ("link-to-file", "link-to-folder/3/1/5.jpg", "imported/../imported/3/1/5.jpg", "/etc/passwd",
             "imported//3/1/5.jpg", "imported/3/1/5.jpg/", "./imported/3/1/5.jpg", "", "imported/missing",
             "n" * 300):
    try:
        os.close(open_beneath(folder, path, os.O_RDONLY))
        print(0)
    except OSError as error:
        print(error.errno)
print(len(os.listdir("/proc/self/fd")))
""",
        root,
        under=(
            *(STRACE, "-f", "-o", "/dev/null", "--seccomp-bpf"),
            *("-e", "trace=openat2", "-e", f"inject=openat2:error={answer}"),
        ),
    )
    assert ended.stderr == ""
    *results, descriptors = [int(line) for line in ended.stdout.split()]
    assert results == [
        len(CONTENT),
        len(CONTENT),
        errno.ELOOP,
        errno.ENOTDIR,
        *[errno.EINVAL] * 3,
        errno.ENOTDIR,
        *[errno.EINVAL] * 2,
        errno.ENOENT,
        errno.EINVAL,
    ]
    assert descriptors == 5  # the three standard ones, the folder, and the listing's own


@needs_a_disk
@needs_cached_opens
def test_an_older_kernel_reads_the_same_and_knows_what_is_cold(root: Path) -> None:
    (root / PATH).write_bytes(CONTENT * 200)
    ended = run_python(
        REFUSE
        + """
from aerotile.ext import map_cached_tile, read_cached_tile, read_tile
handle = map_cached_tile(folder, tile)
assert handle.was_resident
handle.prefault()
assert read_cached_tile(folder, tile) is None
descriptor = os.open(sys.argv[1] + '/imported/3/1/5.jpg', os.O_RDONLY)
os.fsync(descriptor)
handle.close()
os.posix_fadvise(descriptor, 1 << 20, 0, os.POSIX_FADV_DONTNEED)
handle = map_cached_tile(folder, tile)
assert not handle.was_resident
handle.prefault()
assert map_cached_tile(folder, tile).was_resident
assert bytes(handle) == read_tile(folder, tile)
""",
        root,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
