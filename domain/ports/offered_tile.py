"""`OfferedTile`: a tile outside the store, as an intake sees it before the tile's bytes are read."""

from __future__ import annotations

from typing import Protocol


class OfferedTile(Protocol):
    """One tile that a folder, or another supply, offers for intake. No value is checked yet."""

    @property
    def name(self) -> str:
        """Where the tile comes from, such as a path; names the tile in the report."""

    @property
    def zoom_level(self) -> int: ...

    @property
    def x(self) -> int: ...

    @property
    def y(self) -> int: ...

    @property
    def size(self) -> int:
        """Bytes, as of the listing; the tile may have changed since."""

    def read_pixels(self, most_bytes: int) -> bytes:
        """The first `most_bytes` bytes of the tile. Raises `OSError`."""

    def claimed_sha256(self) -> str | None:
        """The SHA-256 that the supply claims for the tile, or None when it claims none.

        Raises `OSError`, or `ValueError` for a claim that can't be read.
        """
