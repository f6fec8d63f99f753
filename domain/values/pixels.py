"""A tile's JPEG bytes as the store hands them out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING


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
