"""`TileVersions`: which versions of a source's places the store's tiles came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from .imagery_source import TilePlace


class FetchedVersion(NamedTuple):
    """The version that a tile came from, and the tile."""

    version: str
    """See `ImageryTile.version`."""
    content_sha256: str
    """Of the bytes that were offered to the store."""


class TileVersions(Protocol):
    """Remembers the version of each place that was fetched, by the name of its source.

    A version counts only where the store holds the bytes that came with it. What was forgotten costs a whole
    answer, and no tile is wrong: no call raises for a file that can't be read or written. For one thread at a
    time.
    """

    def find(self, source: str, places: Sequence[TilePlace]) -> Mapping[TilePlace, FetchedVersion]:
        """The last version of each of these places that is known."""

    def note(self, source: str, versions: Mapping[TilePlace, FetchedVersion]) -> None:
        """Remember these; each replaces the one before."""
