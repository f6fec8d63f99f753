"""`MemoryTileVersions`: the `TileVersions` of one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...domain.ports.imagery_source import TilePlace
from ...domain.ports.tile_versions import FetchedVersion


class MemoryTileVersions:
    """See `TileVersions`."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, TilePlace], FetchedVersion] = {}

    def find(self, source: str, places: Sequence[TilePlace]) -> Mapping[TilePlace, FetchedVersion]:
        return {place: self._versions[source, place] for place in places if (source, place) in self._versions}

    def note(self, source: str, versions: Mapping[TilePlace, FetchedVersion]) -> None:
        self._versions |= {(source, place): one for place, one in versions.items()}
