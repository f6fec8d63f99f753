"""`DescriptorModel`: the network that describes pictures, the same one for tiles and for camera frames."""

from __future__ import annotations

from typing import Protocol

from ..values.pictures import Descriptors, Pictures


class DescriptorModel(Protocol):
    """Describes pictures as vectors. Tiles and frames described by one digest can be compared."""

    @property
    def name(self) -> str:
        """What an index calls the network: a word, and the first digits of `digest`."""

    @property
    def digest(self) -> str:
        """The SHA-256 of all that decides the numbers (weights, preprocessing), 64 lower hex digits."""

    @property
    def headings(self) -> tuple[int, ...]:
        """The headings at which a tile is described, in degrees: each of 0, 90, 180 and 270 at most once."""

    def describe(self, pictures: Pictures) -> Descriptors:
        """The descriptors of n pictures, float32 of shape (n, d), finite; d is the same for every call.

        `pictures` has shape (n, height, width, 3), unsigned bytes, red, green, blue, with n of 1 or more.
        The number of pictures in a call may change the last digits of a descriptor and nothing else. One
        thread at a time. Raises `ValueError` for other pictures, `DescriptorModelError` when the network
        fails.
        """
