"""Mapped pixels and their memory: who holds it, what gives it back, what is in it."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from mapped_tiles import (
    CONTENT,
    MISSING,
    PATH,
    PYBUF_WRITABLE,
    READS,
    TILE,
    Read,
    maps_of,
    needs_a_disk,
    needs_cached_opens,
)
from open_descriptors import leaving_none_open

from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.ext import (
    MappedPixels,
    map_cached_tile,
    map_tile,
    opens_cached_files_at_once,
    read_cached_tile,
)


@pytest.mark.parametrize("read", READS)
def test_reading_keeps_no_descriptor(folder: int, read: Read) -> None:
    with leaving_none_open():
        kept = [read(folder, TILE) for _ in range(20)]
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
