"""The contract of `TilePixelHandle`, held by every implementation."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.mapping_cache import MemoryMappingCache
from aerotile.adapters.memory.tile_files import MemoryTileFiles, MemoryTilePixelHandle
from aerotile.domain.ports.mapping_cache import MappingCache
from aerotile.domain.ports.tile_files import TileFiles
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource
from aerotile.ext import CompiledMappingCache

TILE = TileId(3, 1, 2, TileSource.IMPORTED)
PIXELS = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + b"\xff\xd9"

OpenHandle = Callable[[], TilePixelHandle]


@pytest.fixture(params=["filesystem", "memory", "kept mappings", "kept in memory"])
def open_handle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenHandle]:
    in_memory = request.param in ("memory", "kept in memory")
    files: TileFiles = MemoryTileFiles() if in_memory else FilesystemTileFiles(tmp_path)
    metadata = TileMetadata(
        tile_id=TILE,
        captured_at=datetime(2024, 5, 1, tzinfo=timezone.utc),
        content_sha256=hashlib.sha256(PIXELS).hexdigest(),
        disk_bytes=len(PIXELS),
        ground_sample_distance=0.6,
    )
    files.stage(PIXELS, metadata).place()
    if "kept" in request.param:
        kept: MappingCache = (
            MemoryMappingCache() if in_memory else CompiledMappingCache(max_count=4, max_bytes=1 << 20)
        )
        kept.put(TILE, files.open(TILE), kept.ticket(TILE)).close()
        yield lambda: known(kept.get(TILE))
        kept.close()
    else:
        yield lambda: files.open(TILE)
    if isinstance(files, FilesystemTileFiles):
        files.close()


def known(handle: TilePixelHandle | None) -> TilePixelHandle:
    assert handle is not None
    return handle


@pytest.fixture
def handle(open_handle: OpenHandle) -> Iterator[TilePixelHandle]:
    with open_handle() as handle:
        yield handle


def test_it_is_a_tile_pixel_handle(handle: TilePixelHandle) -> None:
    assert isinstance(handle, TilePixelHandle)


def test_it_shows_the_bytes_and_their_number(handle: TilePixelHandle) -> None:
    with memoryview(handle) as view:
        assert view == PIXELS
        assert (view.format, view.itemsize, view.ndim, view.shape, view.strides) == (
            "B",
            1,
            1,
            (len(PIXELS),),
            (1,),
        )
    assert handle.nbytes == len(PIXELS)
    assert bytes(handle) == PIXELS


def test_numpy_reads_it_without_a_copy(handle: TilePixelHandle) -> None:
    one, other = np.frombuffer(handle, "u1"), np.frombuffer(handle, "u1")
    assert one.ctypes.data == other.ctypes.data
    assert one.tobytes() == PIXELS
    del one, other


def test_it_cannot_be_written_through(handle: TilePixelHandle) -> None:
    with memoryview(handle) as view:
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 0
    pixels = np.frombuffer(handle, "u1")
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        pixels.flags.writeable = True
    del pixels
    assert bytes(handle) == PIXELS


def test_closing_is_refused_while_a_view_is_alive(open_handle: OpenHandle) -> None:
    handle = open_handle()
    view = memoryview(handle)
    part = view[10:20]
    with pytest.raises(BufferError):
        handle.close()
    view.release()
    with pytest.raises(BufferError):
        handle.close()
    assert bytes(part) == PIXELS[10:20]
    part.release()
    handle.close()


def test_closing_is_refused_while_an_array_is_alive(open_handle: OpenHandle) -> None:
    handle = open_handle()
    pixels = np.frombuffer(handle, "u1")[100:]
    with pytest.raises(BufferError):
        handle.close()
    assert pixels.tobytes() == PIXELS[100:]
    del pixels
    handle.close()


def test_a_view_keeps_the_memory_alive_after_the_handle_is_forgotten(open_handle: OpenHandle) -> None:
    pixels = np.frombuffer(open_handle(), "u1")
    assert pixels.tobytes() == PIXELS


def test_a_closed_handle_says_so(open_handle: OpenHandle) -> None:
    with open_handle() as handle:
        pass
    handle.close()
    with pytest.raises(ValueError, match="closed"):
        handle.nbytes  # noqa: B018  # reading it is what raises
    with pytest.raises(ValueError, match="closed"):
        memoryview(handle)
    with pytest.raises(ValueError, match="closed"):
        handle.__enter__()


def test_handles_on_the_same_bytes_are_closed_each_on_its_own(open_handle: OpenHandle) -> None:
    first = open_handle()
    second = first.share()
    view = memoryview(second)
    first.close()
    assert view == PIXELS
    with pytest.raises(BufferError):
        second.close()
    third = second.share()
    view.release()
    second.close()
    assert bytes(memoryview(third)) == PIXELS
    third.close()
    third.close()
    with pytest.raises(ValueError, match="closed"):
        first.share()


def test_the_memory_handle_works_where_python_lacks_memfd_create(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with MemoryTilePixelHandle.of(PIXELS) as handle:
        assert bytes(handle) == PIXELS
        with memoryview(handle) as view:
            assert view.readonly


def test_eight_threads_view_and_close_without_losing_count(open_handle: OpenHandle) -> None:
    shared = open_handle()
    start = threading.Barrier(8)

    def work(_: int) -> None:
        start.wait()
        for _ in range(500):
            with memoryview(shared) as view:
                assert view[-1] == 0xD9
            with open_handle() as own:
                assert bytes(own) == PIXELS

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    shared.close()


def test_threads_that_race_to_close_leave_it_closed_once(open_handle: OpenHandle) -> None:
    for _ in range(50):
        handle = open_handle()
        start = threading.Barrier(4)

        def work(_: int, handle: TilePixelHandle = handle, start: threading.Barrier = start) -> None:
            start.wait()
            handle.close()

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        with pytest.raises(ValueError, match="closed"):
            memoryview(handle)
