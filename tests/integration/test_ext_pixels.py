"""The mapped pixel handle against the operating system: links, odd files, forks, threads and the exit."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aerotile.ext import MappedPixels, open_beneath

CONTENT = bytes(range(256)) * 33
PYBUF_WRITABLE = 1

# A statement per line, run by a new interpreter with the folder as its argument.
PROLOGUE = """
import os, sys
from aerotile.ext import MappedPixels, open_beneath
folder = os.open(sys.argv[1], os.O_RDONLY)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "tile").write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def folder(root: Path) -> Iterator[int]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def run_python(script: str, root: Path, *, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*under, sys.executable, "-c", PROLOGUE + script, str(root)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def descriptors_of_this_process() -> int:
    gc.collect()  # what an earlier test left behind must not close in between
    return len(list(Path("/proc/self/fd").iterdir()))


def maps_of(path: Path) -> int:
    return Path("/proc/self/maps").read_text().count(str(path))


def test_opening_keeps_no_descriptor(folder: int) -> None:
    before = descriptors_of_this_process()
    handles = [MappedPixels(folder, "a/b/tile") for _ in range(20)]
    assert descriptors_of_this_process() == before
    for handle in handles:
        handle.close()


def test_closing_and_forgetting_give_the_memory_back(folder: int, root: Path) -> None:
    tile = root / "a" / "b" / "tile"
    closed, forgotten = MappedPixels(folder, "a/b/tile"), MappedPixels(folder, "a/b/tile")
    assert maps_of(tile) == 2
    closed.close()
    assert closed.closed
    del forgotten
    assert maps_of(tile) == 0


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("a/b/missing", errno.ENOENT),
        ("a/missing/tile", errno.ENOENT),
        ("a/b", errno.EISDIR),
        ("a/b/tile/tile", errno.ENOTDIR),
        ("../" + "a/b/tile", errno.EXDEV),
    ],
)
def test_what_is_no_file_below_the_folder_is_an_os_error(folder: int, path: str, number: int) -> None:
    before = descriptors_of_this_process()
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
        MappedPixels(folder, path)
    assert (caught.value.errno, caught.value.filename) == (number, path)
    assert descriptors_of_this_process() == before


def test_an_empty_file_is_refused(folder: int, root: Path) -> None:
    (root / "empty").touch()
    with pytest.raises(OSError, match="empty") as caught:
        MappedPixels(folder, "empty")
    assert caught.value.errno == errno.ENODATA


def test_a_file_of_another_length_than_expected_is_refused(folder: int) -> None:
    with pytest.raises(OSError, match="expected 9 bytes") as caught:
        MappedPixels(folder, "a/b/tile", 9)
    assert caught.value.errno == errno.EBADMSG
    MappedPixels(folder, "a/b/tile", len(CONTENT)).close()


def test_a_fifo_in_the_files_place_does_not_hang_the_reader(folder: int, root: Path) -> None:
    os.mkfifo(root / "fifo")
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
        MappedPixels(folder, "fifo")
    assert caught.value.errno == errno.EINVAL


def test_no_symbolic_link_is_followed_wherever_it_stands(folder: int, root: Path) -> None:
    (root / "link-to-file").symlink_to("a/b/tile")
    (root / "link-to-folder").symlink_to("a")
    (root / "a" / "link-inside").symlink_to(root / "a" / "b")
    for path in ("link-to-file", "link-to-folder/b/tile", "a/link-inside/tile"):
        with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
            MappedPixels(folder, path)
        assert caught.value.errno == errno.ELOOP


def test_an_absolute_path_is_refused(folder: int, root: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011  # EXDEV or EINVAL, by the way that it was opened
        MappedPixels(folder, str(root / "a" / "b" / "tile"))


def test_a_path_with_a_nul_is_a_value_error(folder: int) -> None:
    with pytest.raises(ValueError, match="NUL"):
        MappedPixels(folder, "a/b/tile\0")
    with pytest.raises(ValueError, match="NUL"):
        open_beneath(folder, "a\0", os.O_RDONLY)


def test_a_descriptor_opened_beneath_is_closed_on_exec(folder: int) -> None:
    descriptor = open_beneath(folder, "a/b/tile", os.O_RDONLY)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_asking_for_a_writable_buffer_is_a_buffer_error(folder: int) -> None:
    class Buffer(ctypes.Structure):
        _fields_ = [("room", ctypes.c_char * 128)]

    with MappedPixels(folder, "a/b/tile") as handle:
        get_buffer = ctypes.pythonapi.PyObject_GetBuffer
        get_buffer.argtypes = [ctypes.py_object, ctypes.POINTER(Buffer), ctypes.c_int]
        with pytest.raises(BufferError, match="read-only"):
            get_buffer(handle, ctypes.byref(Buffer()), PYBUF_WRITABLE)


def test_not_even_the_kernel_makes_the_mapping_writable(folder: int) -> None:
    with MappedPixels(folder, "a/b/tile") as handle:
        address = np.frombuffer(handle, "u1").ctypes.data
        libc = ctypes.CDLL(None, use_errno=True)
        read_and_write = 1 | 2
        assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), read_and_write) == -1
        assert ctypes.get_errno() == errno.EACCES


def test_it_cannot_be_made_anew_or_subclassed(folder: int) -> None:
    with MappedPixels(folder, "a/b/tile") as handle, memoryview(handle) as view:
        with pytest.raises(TypeError):
            type("Derived", (MappedPixels,), {})
        assert view == CONTENT


def test_the_mapping_outlives_the_file(folder: int, root: Path) -> None:
    with MappedPixels(folder, "a/b/tile") as handle:
        shutil.rmtree(root / "a")
        with memoryview(handle) as view:
            assert view == CONTENT


def test_a_forked_child_reads_and_closes_its_own_copy(root: Path) -> None:
    ended = run_python(
        """
handle = MappedPixels(folder, 'a/b/tile')
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
        "handle = MappedPixels(folder, 'a/b/tile')",
        "view = memoryview(MappedPixels(folder, 'a/b/tile'))",
        "import numpy; pixels = numpy.frombuffer(MappedPixels(folder, 'a/b/tile'), 'u1')",
        "handle = MappedPixels(folder, 'a/b/tile'); sys.kept = [handle, memoryview(handle)]",
        "cycle = []; cycle.append((cycle, memoryview(MappedPixels(folder, 'a/b/tile'))))",
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
        with MappedPixels(folder, 'a/b/tile') as handle:
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
    (root / "link-to-file").symlink_to("a/b/tile")
    (root / "link-to-folder").symlink_to("a")
    assert STRACE is not None
    ended = run_python(
        """
for path in ("a/b/tile", "link-to-file", "link-to-folder/b/tile", "a/../a/b/tile", "/etc/passwd", "a//b/tile",
             "a/b/tile/", "./a/b/tile", "", "a/b/missing", "n" * 300):
    try:
        with MappedPixels(folder, path) as handle:
            print(handle.nbytes)
    except OSError as error:
        print(error.errno)
print(len(os.listdir("/proc/self/fd")))
""",
        root,
        under=(STRACE, "-f", "-o", "/dev/null", "-e", f"inject=openat2:error={answer}"),
    )
    assert ended.stderr == ""
    *results, descriptors = [int(line) for line in ended.stdout.split()]
    assert results == [
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
