"""The mapped pixel handle against the operating system: links, odd files, forks, threads and the exit."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from older_kernel import REFUSE

from aerotile.adapters.filesystem.layout import tile_path
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import (
    MappedPixels,
    map_cached_tile,
    map_tile,
    open_beneath,
    opens_cached_files_at_once,
    read_cached_tile,
    read_tile,
    tile_is_there,
)

CONTENT = bytes(range(256)) * 33
PYBUF_WRITABLE = 1
FLIGHT = UUID("01234567-89ab-4def-8123-456789abcdef")
TILE = TileId(3, 1, 5, TileSource.IMPORTED)
MISSING = TileId(3, 1, 6, TileSource.IMPORTED)
PATH = "imported/3/1/5.jpg"

# A statement per line, run by a new interpreter with the folder as its argument.
PROLOGUE = """
import os, sys
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import map_tile, open_beneath
folder = os.open(sys.argv[1], os.O_RDONLY)
tile = TileId(3, 1, 5, TileSource.IMPORTED)
"""

needs_a_disk = pytest.mark.skipif(
    os.major(Path(tempfile.gettempdir()).stat().st_dev) == 0,
    reason="needs a temporary folder on a block device, whose pages can be dropped",
)


def opens_from_the_caches() -> bool:
    """Whether the kernel, asked without our code, opens a path from its caches alone."""
    openat2, resolve_cached = 437, 0x20
    how = struct.pack("QQQ", os.O_RDONLY | os.O_CLOEXEC, 0, resolve_cached)
    descriptor = ctypes.CDLL(None).syscall(openat2, -1, b"/", how, len(how))
    if descriptor < 0:
        return False
    os.close(descriptor)
    return True


needs_cached_opens = pytest.mark.skipif(
    not opens_from_the_caches(), reason="needs a kernel that opens from its caches alone: Linux 5.12 or newer"
)
Read = Callable[[int, TileId], object]
READS = [
    map_tile,
    pytest.param(map_cached_tile, marks=needs_cached_opens),
    read_tile,
    pytest.param(read_cached_tile, marks=needs_cached_opens),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(CONTENT)
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


@pytest.mark.parametrize("read", READS)
def test_reading_keeps_no_descriptor(folder: int, read: Read) -> None:
    before = descriptors_of_this_process()
    kept = [read(folder, TILE) for _ in range(20)]
    assert descriptors_of_this_process() == before
    del kept


def test_closing_and_forgetting_give_the_memory_back(folder: int, root: Path) -> None:
    closed, forgotten = map_tile(folder, TILE), map_tile(folder, TILE)
    assert maps_of(root / PATH) == 2
    closed.close()
    assert closed.closed
    del forgotten
    assert maps_of(root / PATH) == 0


def test_the_last_view_gives_back_the_memory_of_a_handle_that_was_left(folder: int, root: Path) -> None:
    with map_tile(folder, TILE) as handle:
        view, pixels = memoryview(handle), np.frombuffer(handle, "u1")
    assert handle.closed
    with pytest.raises(ValueError, match="closed"):
        memoryview(handle)
    with pytest.raises(ValueError, match="closed"):
        handle.prefault()
    view.release()
    assert maps_of(root / PATH) == 1
    assert pixels.tobytes() == CONTENT
    del pixels
    assert maps_of(root / PATH) == 0


def test_handles_that_share_a_mapping_give_it_back_with_the_last(folder: int, root: Path) -> None:
    first = map_tile(folder, TILE)
    second, third = first.share(), first.share()
    first.close()
    assert maps_of(root / PATH) == 1
    view = memoryview(second)
    third.close()
    with pytest.raises(BufferError):
        second.close()
    assert view == CONTENT
    view.release()
    second.close()
    assert maps_of(root / PATH) == 0
    with pytest.raises(ValueError, match="closed"):
        first.share()
    with pytest.raises(ValueError, match="closed"):
        first.prefault()


@pytest.mark.parametrize(
    "tile_id",
    [
        TileId(0, 0, 0, TileSource.IMPORTED),
        TileId(22, 4194303, 4194303, TileSource.SATELLITE_PROVIDER),
        TileId(18, 152345, 90123, TileSource.ONBOARD, FLIGHT),
        TileId(22, 4194303, 1, TileSource.ONBOARD, UUID(int=0)),
        TileId(1, 1, 1, TileSource.ONBOARD, UUID(int=(1 << 128) - 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("read", READS)
def test_a_tiles_file_lies_where_the_layout_says(
    folder: int, root: Path, tile_id: TileId, read: Read
) -> None:
    path = tile_path(tile_id).tile
    assert not tile_is_there(folder, tile_id)  # which the caches know from now on
    with pytest.raises(FileNotFoundError) as caught:
        read(folder, tile_id)
    assert caught.value.filename == path
    (root / path).parent.mkdir(parents=True)
    (root / path).write_bytes(b"here")
    assert tile_is_there(folder, tile_id)
    assert bytes(memoryview(read(folder, tile_id))) == b"here"  # type: ignore[arg-type] # a buffer


@needs_cached_opens
def test_what_the_caches_have_is_known_to_be_in_memory(folder: int, root: Path) -> None:
    assert opens_cached_files_at_once(folder)  # tests run on a local disk
    handle = map_cached_tile(folder, TILE)
    assert handle is not None
    assert handle.was_resident
    assert read_cached_tile(folder, TILE) == CONTENT


@needs_a_disk
@needs_cached_opens
def test_what_the_page_cache_lacks_is_known_to_be_cold(folder: int, root: Path) -> None:
    large = root / "imported/3/1/6.jpg"
    large.write_bytes(CONTENT * 100)  # more pages than one look at the page cache takes
    descriptor = os.open(large, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, len(CONTENT) * 50, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    handle = map_cached_tile(folder, MISSING)
    assert handle is not None
    assert not handle.was_resident
    assert read_cached_tile(folder, MISSING) is None
    handle.prefault()
    assert bytes(handle) == CONTENT * 100
    again = map_cached_tile(folder, MISSING)
    assert again is not None
    assert again.was_resident
    assert read_cached_tile(folder, MISSING) == CONTENT * 100


@pytest.mark.parametrize("read", READS)
def test_a_folder_in_a_tiles_place_is_an_os_error(folder: int, root: Path, read: Read) -> None:
    (root / "imported/3/1/6.jpg").mkdir()
    with pytest.raises(IsADirectoryError):
        read(folder, MISSING)
    assert not tile_is_there(folder, MISSING)


@pytest.mark.parametrize("read", READS)
def test_a_file_in_a_folders_place_is_an_os_error(folder: int, root: Path, read: Read) -> None:
    (root / "imported/3/2").touch()
    inside = TileId(3, 2, 5, TileSource.IMPORTED)
    cached = read in (map_cached_tile, read_cached_tile)  # the kernel may leave it to the slow way to say so
    with pytest.raises(NotADirectoryError) if not cached else suppress(NotADirectoryError):
        assert read(folder, inside) is None
    assert not tile_is_there(folder, inside)


@pytest.mark.parametrize("read", READS)
def test_an_empty_file_is_refused(folder: int, root: Path, read: Read) -> None:
    (root / "imported/3/1/6.jpg").touch()
    with pytest.raises(OSError, match="empty") as caught:
        read(folder, MISSING)
    assert caught.value.errno == errno.ENODATA
    assert tile_is_there(folder, MISSING)


@pytest.mark.parametrize("read", READS)
def test_a_fifo_in_the_files_place_does_not_hang_the_reader(folder: int, root: Path, read: Read) -> None:
    os.mkfifo(root / "imported/3/1/6.jpg")
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
        read(folder, MISSING)
    assert caught.value.errno == errno.EINVAL
    assert not tile_is_there(folder, MISSING)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("link", ["imported", "imported/3", "imported/3/1", PATH])
def test_no_symbolic_link_is_followed_wherever_it_stands(
    folder: int, root: Path, link: str, read: Read
) -> None:
    (root / link).rename(root / "moved")
    (root / link).symlink_to(root / "moved")
    before = descriptors_of_this_process()
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
        read(folder, TILE)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
        open_beneath(folder, PATH, os.O_RDONLY)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
    assert not tile_is_there(folder, TILE)
    assert descriptors_of_this_process() == before


@pytest.mark.parametrize("read", [*READS, tile_is_there])
@pytest.mark.parametrize(
    "no_tile", [None, PATH, 7, (3, 1, 5, TileSource.IMPORTED, None), TileSource.IMPORTED, TileId], ids=repr
)
def test_what_is_no_tile_id_is_a_type_error(folder: int, read: Read, no_tile: TileId) -> None:
    with pytest.raises(TypeError):
        read(folder, no_tile)


@pytest.mark.parametrize("read", [*READS, tile_is_there])
def test_a_tile_id_that_was_tampered_with_reaches_no_path(folder: int, read: Read) -> None:
    unset = TileId.__new__(TileId)
    with pytest.raises(AttributeError):
        read(folder, unset)
    for attribute, value, error in [
        ("zoom_level", 23, ValueError),
        ("x", -1, ValueError),
        ("y", 8, ValueError),
        ("y", 1 << 70, OverflowError),
        ("x", "../../etc", TypeError),
        ("source", "imported", TypeError),
        ("source", "../..", TypeError),
        ("flight_id", "..", TypeError),
    ]:
        bent = TileId(3, 1, 5, TileSource.IMPORTED)
        object.__setattr__(bent, attribute, value)
        with pytest.raises(error):
            read(folder, bent)


def test_a_path_out_of_the_folder_or_with_a_nul_is_refused(folder: int, root: Path) -> None:
    for path in ("../" + PATH, str(root / PATH)):
        with pytest.raises(OSError):  # noqa: PT011  # EXDEV or EINVAL, by the way that it was opened
            open_beneath(folder, path, os.O_RDONLY)
    with pytest.raises(ValueError, match="NUL"):
        open_beneath(folder, "a\0", os.O_RDONLY)


def test_a_descriptor_opened_beneath_is_closed_on_exec(folder: int) -> None:
    descriptor = open_beneath(folder, PATH, os.O_RDONLY)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("read", [*READS, tile_is_there])
def test_a_descriptor_that_is_no_folder_is_an_os_error(folder: int, root: Path, read: Read) -> None:
    with (
        (root / PATH).open("rb") as file,
        pytest.raises(NotADirectoryError) if read is not tile_is_there else nullcontext(),
    ):
        assert not read(file.fileno(), TILE)
    for ask in (read, lambda folder, _: opens_cached_files_at_once(folder)):
        with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
            ask(-1, TILE)
        assert caught.value.errno == errno.EBADF


def test_asking_for_a_writable_buffer_is_a_buffer_error(folder: int) -> None:
    class Buffer(ctypes.Structure):
        _fields_ = [("room", ctypes.c_char * 128)]

    with map_tile(folder, TILE) as handle:
        get_buffer = ctypes.pythonapi.PyObject_GetBuffer
        get_buffer.argtypes = [ctypes.py_object, ctypes.POINTER(Buffer), ctypes.c_int]
        with pytest.raises(BufferError, match="read-only"):
            get_buffer(handle, ctypes.byref(Buffer()), PYBUF_WRITABLE)


def test_not_even_the_kernel_makes_the_mapping_writable(folder: int) -> None:
    with map_tile(folder, TILE) as handle:
        address = np.frombuffer(handle, "u1").ctypes.data
        libc = ctypes.CDLL(None, use_errno=True)
        read_and_write = 1 | 2
        assert libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(4096), read_and_write) == -1
        assert ctypes.get_errno() == errno.EACCES


def test_it_cannot_be_made_anew_or_subclassed(folder: int) -> None:
    with map_tile(folder, TILE) as handle, memoryview(handle) as view:
        with pytest.raises(TypeError):
            type("Derived", (MappedPixels,), {})
        with pytest.raises(TypeError):
            MappedPixels()  # type: ignore[abstract]
        with pytest.raises(TypeError):
            handle.__init__()  # type: ignore[misc]
        assert view == CONTENT
    never_mapped = MappedPixels.__new__(MappedPixels)
    assert never_mapped.closed
    never_mapped.close()
    with pytest.raises(ValueError, match="closed"):
        memoryview(never_mapped)
    assert isinstance(never_mapped, TilePixelHandle)


def test_the_mapping_outlives_the_file(folder: int, root: Path) -> None:
    with map_tile(folder, TILE) as handle:
        shutil.rmtree(root / "imported")
        with memoryview(handle) as view:
            assert view == CONTENT


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
        under=(STRACE, "-f", "-o", "/dev/null", "-e", f"inject=openat2:error={answer}"),
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
