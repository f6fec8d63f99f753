"""`MemoryImagerySource`: an `ImagerySource` over answers that a test gives it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from ...domain.errors import ImagerySourceError
from ...domain.ports.imagery_source import (
    FoundPlace,
    ImageryFacts,
    ImageryTile,
    ReadPlace,
    TilePlace,
    Unchanged,
)
from ...domain.values.tile_grid import GridRange


class MemoryImagerySource:
    """See `ImagerySource`. An `ImagerySourceError` among the answers is raised when its place is read."""

    seconds_each = 0.001

    def __init__(
        self,
        answers: Mapping[TilePlace, ReadPlace | ImagerySourceError],
        *,
        name: str = "memory",
        facts: ImageryFacts | None = None,
        is_remote: bool = False,
    ) -> None:
        self.name = name
        self.facts = facts or ImageryFacts(kind="memory")
        self.is_remote = is_remote
        self.was_read: list[TilePlace] = []
        """Every place that was read, in that order."""
        self.decoded: list[TilePlace] = []
        """Every place whose picture was asked for as it is before it is encoded."""
        self.stops = 0
        self._answers = dict(answers)

    def zooms(self) -> Sequence[int]:
        return sorted({place.zoom_level for place in self._answers})

    def extent(self, zoom_level: int) -> GridRange | None:
        xs = [place.x for place in self._answers if place.zoom_level == zoom_level]
        ys = [place.y for place in self._answers if place.zoom_level == zoom_level]
        return GridRange(zoom_level, min(xs), min(ys), max(xs), max(ys)) if xs else None

    def places(self, within: GridRange) -> Sequence[FoundPlace]:
        return [
            FoundPlace(place, len(answer.pixels or b"") if isinstance(answer, ImageryTile) else 0)
            for place, answer in sorted(self._answers.items(), key=lambda item: item[0])
            if place.zoom_level == within.zoom_level and (place.x, place.y) in within
        ]

    def read(
        self,
        places: Sequence[TilePlace],
        versions: Mapping[TilePlace, str] | None = None,
        decoded: Collection[TilePlace] = (),
    ) -> Iterator[ReadPlace]:
        self.decoded += decoded
        for place in places:
            answer = self._answers[place]
            known = (versions or {}).get(place)
            if known is not None and isinstance(answer, ImageryTile) and answer.version == known:
                yield Unchanged.UNCHANGED
                continue
            self.was_read.append(place)
            if isinstance(answer, ImagerySourceError):
                raise answer
            yield answer

    def stop(self) -> None:
        """See `ImagerySource`: counts the calls."""
        self.stops += 1

    def __enter__(self) -> MemoryImagerySource:
        return self

    def __exit__(self, *raised: object) -> None:
        return None
