"""A tile's JPEG bytes as the store hands them out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from array import array
    from mmap import mmap

    import numpy as np
    import numpy.typing as npt

TileBytes: TypeAlias = (
    "bytes | bytearray | memoryview | mmap | array[int] | TilePixelHandle | npt.NDArray[np.uint8]"
)
"""The JPEG of a tile as a caller may hold it: any buffer of unsigned bytes.

An array of several dimensions gives its bytes in C order. The bytes are copied, unless they are `bytes`.
"""


def as_bytes(pixels: Any) -> bytes:
    """A JPEG in any buffer of unsigned bytes as `bytes`, copied unless it is one: nobody can change a copy.

    An array of several dimensions gives its bytes in C order. Raises `TypeError` for anything else, and
    `ValueError` for a buffer that is closed or that gives no bytes.
    """
    if type(pixels) is bytes:
        return pixels
    try:
        with memoryview(pixels) as view:
            if view.format.lstrip("@=<>!") in ("B", "c"):  # ctypes names the order of its bytes
                return view.tobytes()
            found = f"a buffer of format {view.format!r}"
    except TypeError:
        found = type(pixels).__name__
    except (ValueError, BufferError) as error:
        raise ValueError(f"pixels of type {type(pixels).__name__} can't be read: {error}") from error
    raise TypeError(f"pixels must be bytes, bytearray, memoryview or an array of uint8, got {found}")


class TilePixelHandle(ABC):
    """A tile's JPEG bytes as a read-only buffer: `memoryview(handle)`, `numpy.frombuffer(handle, "u1")`.

    The buffer shares memory with the store and stays valid after the tile is deleted or evicted. It is
    read-only. `close` raises `BufferError` while views of it are alive, as `mmap.mmap.close` does. Leaving a
    `with` block never raises: the handle is closed, and its memory lasts as long as the views of it.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        # Implemented in C; declared so that type checkers accept `memoryview(handle)` (PEP 688).
        def __buffer__(self, flags: int, /) -> memoryview: ...

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Length of the JPEG in bytes. Raises `ValueError` after `close`."""

    @abstractmethod
    def share(self) -> TilePixelHandle:
        """Another handle on the same bytes, closed on its own. Raises `ValueError` after `close`."""

    @abstractmethod
    def close(self) -> None:
        """Release the memory. Raises `BufferError` while views are alive.

        Does nothing for a handle that was closed or whose `with` block was left.
        """

    @abstractmethod
    def __enter__(self) -> TilePixelHandle: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the handle; views that are alive keep the memory. Never raises."""
