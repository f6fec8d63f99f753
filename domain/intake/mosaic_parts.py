"""`parts_ahead`: the places of a mosaic in parts, of which one is read while another is stored."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import attrs

from ..errors import ImagerySourceError
from ..ports.imagery_source import ImageryTile, TilePlace
from ..ports.tile_versions import TileVersions
from ..values.tiles import TileId, TileSource
from .compare_stored import IntakeStore, OnContest, stored_sha256
from .mosaic import Mosaic, MosaicBlock
from .place_layers import PlaceRead
from .read_tile import ReadTile
from .terms import CaptureTimes, ProvisionTerms

_PART_TILES, _PART_BYTES = 1024, 64 << 20
"""A part of the provision is read while the one before is written; so much of it is in memory."""
_REMOTE_PART_TILES = 256
"""A part of remote sources: what a kill loses must be asked for again."""
_PART_KNOWN = 16_384
"""Places that a part passes over; a run that has all of them already reads nothing."""

T = TypeVar("T")


@attrs.define
class MosaicPart:
    """Places that are taken in together."""

    known: list[TilePlace] = attrs.field(factory=list)
    """Those that the store holds and that were not read."""
    read: list[PlaceRead] = attrs.field(factory=list)
    undated: list[ReadTile] = attrs.field(factory=list)
    """Those without a capture date, which were not read: nothing of them could be stored."""

    def is_full(self, most_tiles: int) -> bool:
        return (
            len(self.read) >= most_tiles
            or len(self.known) + len(self.undated) >= _PART_KNOWN
            or sum(_bytes_of(one.tile) for one in self.read if one.tile is not None) >= _PART_BYTES
        )


def _bytes_of(tile: ImageryTile) -> int:
    """What a tile takes of the memory."""
    return len(tile.pixels or b"") + (0 if tile.part is None else tile.part.pixels.nbytes)


def is_present(store: IntakeStore, source: TileSource) -> Callable[[TilePlace], bool]:
    """Whether the store holds a place."""
    return lambda place: store.tile_exists(TileId(*place, source))


def parts_ahead(
    mosaic: Mosaic, store: IntakeStore, terms: ProvisionTerms, versions: TileVersions | None
) -> Generator[MosaicPart, None, None]:
    """The parts in turn, two in memory. Raises `ImagerySourceError` after the part read until then."""

    def stop() -> None:
        for source in mosaic.sources:
            source.stop()

    return _read_ahead(_parts(mosaic, store, terms, versions), stop)


def _parts(
    mosaic: Mosaic, store: IntakeStore, terms: ProvisionTerms, versions: TileVersions | None
) -> Iterator[MosaicPart]:
    known_there = is_present(store, terms.source)
    is_remote = any(source.is_remote for source in mosaic.sources)
    most_tiles = _REMOTE_PART_TILES if is_remote else _PART_TILES
    part = MosaicPart()
    for block in mosaic.blocks():
        known = {
            place
            for place, numbers in block.places.items()
            if (terms.only_missing or mosaic.sources[numbers[0]].is_remote)
            and not terms.on_contest.replaces
            and known_there(place)
        }
        if terms.dataset is not None and known:
            # Whether a place of another dataset, or of none, is contested shows when it is read.
            holders = store.datasets_of([TileId(*place, terms.source) for place in known])
            known = {place for place in known if holders.get(TileId(*place, terms.source)) == terms.dataset}
        part.known += known
        asked = {place: numbers for place, numbers in block.places.items() if place not in known}
        if callable(terms.captured_at):
            for undated in _undated_places(mosaic, asked, terms.captured_at):
                part.undated.append(undated)
                del asked[TilePlace(undated.zoom_level, undated.x, undated.y)]
        expected = {}
        if versions is not None and terms.on_contest is OnContest.REFRESH:
            expected = _stored_versions(mosaic, asked, store, terms, versions)
        try:
            for one in mosaic.read(MosaicBlock(asked, block.sizes), expected):
                part.read.append(one)
        except ImagerySourceError:
            yield part  # what a server sent is not asked for again
            raise
        if part.is_full(most_tiles):
            yield part
            part = MosaicPart()
    yield part


def _undated_places(
    mosaic: Mosaic, asked: Mapping[TilePlace, Sequence[int]], times: CaptureTimes
) -> list[ReadTile]:
    """The places that have no capture date, by the name of the first source that lists each."""
    tiles = [
        ReadTile(f"{mosaic.sources[numbers[0]].name}: {place}", *place, b"")
        for place, numbers in asked.items()
    ]
    return [tile for tile in tiles if times(tile) is None]


def _stored_versions(
    mosaic: Mosaic,
    asked: Mapping[TilePlace, Sequence[int]],
    store: IntakeStore,
    terms: ProvisionTerms,
    versions: TileVersions,
) -> dict[int, dict[TilePlace, str]]:
    """The versions that stored tiles came from, by the number of their source.

    Those of another dataset than the one named are left out: they are contested.
    """
    stored: dict[TilePlace, str | None] = {}
    expected: dict[int, dict[TilePlace, str]] = {}
    for number, source in enumerate(mosaic.sources):
        places = [place for place, numbers in asked.items() if number in numbers] if source.is_remote else []
        for place, one in versions.find(source.name, places).items():
            if place not in stored:
                stored[place] = stored_sha256(store, TileId(*place, terms.source))
            if stored[place] == one.content_sha256:
                expected.setdefault(number, {})[place] = one.version
    if terms.dataset is not None and stored:
        holders = store.datasets_of([TileId(*place, terms.source) for place in stored])
        others = {place for place in stored if holders.get(TileId(*place, terms.source)) != terms.dataset}
        return {
            number: {place: version for place, version in known.items() if place not in others}
            for number, known in expected.items()
        }
    return expected


def _read_ahead(items: Iterator[T], stop: Callable[[], None]) -> Generator[T, None, None]:
    """The items; the next one is made by another thread while one is used. One more is alive than is used.

    `stop` is called where the items are not used to their end, before the one under way is waited for.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="aerotile-imagery") as pool:
        try:
            upcoming = pool.submit(next, items, end)
            while (item := upcoming.result()) is not end:
                upcoming = pool.submit(next, items, end)
                yield item  # type: ignore[misc]  # `end` alone is no item
        except BaseException:
            stop()
            raise
