"""The contract of `TilePixelHandle`."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from ...domain.values.pixels import TilePixelHandle
from ..memory.example_jpeg import example_jpeg

PIXELS = example_jpeg(bytes(range(256)) * 40)

OpenPixelHandle = Callable[[], TilePixelHandle]


def array_on(handle: TilePixelHandle) -> npt.NDArray[np.uint8]:
    """An array on the memory of the handle."""
    pixels: npt.NDArray[np.uint8] = np.frombuffer(handle, "u1")  # type: ignore[call-overload] # PEP 688
    return pixels


class TilePixelHandleContract:
    """Holds a handle that a factory opens on the same stored bytes again and again."""

    pixels: ClassVar[bytes] = PIXELS
    """The bytes to open handles on."""

    @pytest.fixture
    def open_handle(self) -> OpenPixelHandle:
        """Open a new handle on a stored copy of `pixels`. Override it."""
        raise NotImplementedError

    @pytest.fixture
    def handle(self, open_handle: OpenPixelHandle) -> Iterator[TilePixelHandle]:
        with open_handle() as handle:
            yield handle

    def test_it_is_a_tile_pixel_handle(self, handle: TilePixelHandle) -> None:
        assert isinstance(handle, TilePixelHandle)

    def test_it_says_why_it_is_not_pickled(self, handle: TilePixelHandle) -> None:
        with pytest.raises(TypeError, match=r"^pixels are not pickled: send their bytes, or read the tile"):
            pickle.dumps(handle)

    def test_it_shows_the_bytes_and_their_number(self, handle: TilePixelHandle) -> None:
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

    def test_numpy_reads_it_without_a_copy(self, handle: TilePixelHandle) -> None:
        one, other = array_on(handle), array_on(handle)
        assert one.ctypes.data == other.ctypes.data
        assert one.tobytes() == PIXELS
        del one, other

    def test_it_cannot_be_written_through(self, handle: TilePixelHandle) -> None:
        with memoryview(handle) as view:
            assert view.readonly
            with pytest.raises(TypeError):
                view[0] = 0
        pixels = array_on(handle)
        with pytest.raises(ValueError, match="read-only"):
            pixels[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            pixels.flags.writeable = True
        del pixels
        assert bytes(handle) == PIXELS

    def test_closing_is_refused_while_a_view_is_alive(self, open_handle: OpenPixelHandle) -> None:
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

    def test_closing_is_refused_while_an_array_is_alive(self, open_handle: OpenPixelHandle) -> None:
        handle = open_handle()
        pixels = array_on(handle)[100:]
        with pytest.raises(BufferError):
            handle.close()
        assert pixels.tobytes() == PIXELS[100:]
        del pixels
        handle.close()

    def test_a_view_keeps_the_memory_alive_after_the_handle_is_forgotten(
        self, open_handle: OpenPixelHandle
    ) -> None:
        pixels = array_on(open_handle())
        assert pixels.tobytes() == PIXELS

    def test_leaving_a_block_while_views_are_alive_leaves_them_valid(
        self, open_handle: OpenPixelHandle
    ) -> None:
        with open_handle() as handle:
            view, pixels = memoryview(handle), array_on(handle)[10:]
            part = view[5:20]
        handle.close()  # closed already
        del handle
        view.release()
        assert bytes(part) == PIXELS[5:20]
        part.release()
        assert pixels.tobytes() == PIXELS[10:]

    def test_a_handle_that_was_left_says_so_while_its_views_are_alive(
        self, open_handle: OpenPixelHandle
    ) -> None:
        with open_handle() as handle:
            view = memoryview(handle)
        with pytest.raises(ValueError, match="closed"):
            handle.nbytes  # noqa: B018  # reading it is what raises
        with pytest.raises(ValueError, match="closed"):
            handle.share()
        with pytest.raises(ValueError, match="closed"):
            handle.__enter__()
        assert view == PIXELS

    def test_leaving_one_handle_leaves_a_sharing_one_open(self, open_handle: OpenPixelHandle) -> None:
        other = open_handle()
        with other.share() as left:
            pixels = array_on(left)
        assert bytes(other) == PIXELS
        other.close()
        assert pixels.tobytes() == PIXELS

    def test_an_exception_of_the_block_arrives_as_it_was_raised(self, open_handle: OpenPixelHandle) -> None:
        views = []

        def match() -> None:
            with open_handle() as handle:
                views.append(array_on(handle))
                raise LookupError("no match")

        with pytest.raises(LookupError, match="no match") as raised:
            match()
        assert raised.value.__context__ is None
        assert views[0].tobytes() == PIXELS

    def test_closing_a_generator_gives_its_handle_up(self, open_handle: OpenPixelHandle) -> None:
        def views() -> Iterator[memoryview]:
            with open_handle() as handle:
                yield memoryview(handle)

        generator = views()
        view = next(generator)
        generator.close()  # type: ignore[attr-defined] # a generator function makes one
        assert view == PIXELS

    def test_a_closed_handle_says_so(self, open_handle: OpenPixelHandle) -> None:
        with open_handle() as handle:
            pass
        handle.close()
        with pytest.raises(ValueError, match="closed"):
            handle.nbytes  # noqa: B018  # reading it is what raises
        with pytest.raises(ValueError, match="closed"):
            memoryview(handle)
        with pytest.raises(ValueError, match="closed"):
            handle.__enter__()

    def test_handles_on_the_same_bytes_are_closed_each_on_its_own(self, open_handle: OpenPixelHandle) -> None:
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

    def test_eight_threads_view_and_close_without_losing_count(self, open_handle: OpenPixelHandle) -> None:
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

    def test_threads_that_race_to_close_leave_it_closed_once(self, open_handle: OpenPixelHandle) -> None:
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
