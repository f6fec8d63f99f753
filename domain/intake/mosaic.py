"""`Mosaic`: the sources of one provision, seen as one: where the first shows no ground, the next does."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, product
from operator import itemgetter

import attrs

from ..errors import ImageryPlaceError, ImagerySourceError, TileMetadataError
from ..ports.imagery_source import (
    ImagerySource,
    ImageryTile,
    TilePlace,
    Unchanged,
)
from ..ports.picture_codec import PictureCodec
from ..values.areas import Area
from ..values.disk_usage import footprint
from ..values.tile_grid import shared_range, tile_bbox
from .place_layers import PlaceLayers, PlaceRead
from .wanted_places import SQUARE, WantedSquare, WantedZoom

MOST_REMOTE_PLACES = 10_000_000
"""Places that a server is asked for in one provision: six days at 20 requests a second."""
_BLOCK_STEPS = 4
"""A block has 16 columns and rows at its finest zoom, and what lies above them at so many coarser zooms.

So a picture of twice the tile's size is decoded once for itself and its quarters, and a raster is warped once
for its finest tiles and for the parents that are made of them.
"""


@attrs.frozen(eq=False)
class MosaicBlock:
    """At most 341 places that lie together, at up to five zooms: the sources of each, by their number."""

    places: Mapping[TilePlace, Sequence[int]]
    sizes: Mapping[TilePlace, int]
    """Bytes of the JPEG, by the first source that lists the place; see `FoundPlace`."""


@attrs.define
class ZoomEstimate:
    """What a provision would take at one zoom."""

    zoom_level: int
    wanted: int | None
    """Places of the area; None without an area."""
    found: int = 0
    """Places of the area that a source lists; exact."""
    present: int = 0
    """Those among `found` that the store holds."""
    disk_bytes: int = 0
    """JPEGs of the places that the store lacks: exact for those that go in verbatim."""
    footprint_bytes: int = 0
    """What they take of the disk budget."""
    seconds: float = 0.0
    """About how long reading takes, those that are present included where they are compared."""


@attrs.frozen(kw_only=True)
class Mosaic:
    """The sources in order, the best first. Each is called by one thread at a time."""

    sources: Sequence[ImagerySource]
    zooms: Sequence[int]
    codec: PictureCodec
    area: Area | None = None
    """None: all that the sources have."""

    @classmethod
    def of(
        cls,
        sources: Sequence[ImagerySource],
        codec: PictureCodec,
        *,
        zooms: Sequence[int] = (),
        area: Area | None = None,
    ) -> Mosaic:
        """The mosaic at the given zooms, or at all that a source has.

        Raises `ImagerySourceError` for a zoom that no source has, and for more places than a server is asked.
        """
        known = sorted({zoom for source in sources for zoom in source.zooms()})
        missing = sorted(set(zooms) - set(known))
        if missing:
            held = "; ".join(f"{source.name}: {in_ranges(source.zooms())}" for source in sources)
            enlarged = "; coarser imagery is not enlarged, except a GeoTIFF by --enlarge"
            raise ImagerySourceError(
                f"no source has zoom {in_ranges(missing)} ({held})",
                remedy=f"leave these zooms out{enlarged if missing[-1] > max(known, default=-1) else ''}",
            )
        mosaic = cls(sources=sources, zooms=sorted(set(zooms)) or known, codec=codec, area=area)
        mosaic._check_remote()
        return mosaic

    def _check_remote(self) -> None:
        """Raise `ImagerySourceError` for more places than a server is asked for."""
        for source in self.sources:
            if not source.is_remote:
                continue
            extents = [extent for extent in map(source.extent, self.zooms) if extent is not None]
            most = sum((one.max_x - one.min_x + 1) * (one.max_y - one.min_y + 1) for one in extents)
            if most > MOST_REMOTE_PLACES and self.area is not None:
                most = min(most, sum(WantedZoom.of(self.area, zoom).count or 0 for zoom in self.zooms))
            if most > MOST_REMOTE_PLACES:
                raise ImagerySourceError(
                    f"{source.name} is a server, and would be asked for {most} places at zoom "
                    f"{in_ranges(self.zooms)}; {MOST_REMOTE_PLACES} are the most",
                    remedy="name a smaller --area or coarser zooms",
                )

    def estimate(self, is_present: Callable[[TilePlace], bool] = lambda place: False) -> list[ZoomEstimate]:
        """Count the places of each zoom, and estimate their bytes. No pixels are read.

        Raises `ImagerySourceError` where the sources have no place of the area.
        """
        estimates = []
        for zoom in self.zooms:
            wanted = WantedZoom.of(self.area, zoom)
            one = ZoomEstimate(zoom, wanted.count)
            for block in self._blocks_of([wanted]):
                for place, numbers in block.places.items():
                    present = is_present(place)
                    source = self.sources[numbers[0]]
                    one.found += 1
                    one.present += present
                    if not present:
                        one.disk_bytes += block.sizes[place]
                        one.footprint_bytes += footprint(block.sizes[place])
                    if not (present and source.is_remote):
                        one.seconds += source.seconds_each
            estimates.append(one)
        if not any(one.found for one in estimates):
            raise ImagerySourceError(
                f"no source has a tile of the area at zoom {in_ranges(self.zooms)}",
                remedy=f"they cover {self._ground()} (MIN_LON,MIN_LAT,MAX_LON,MAX_LAT)",
            )
        return estimates

    def _ground(self) -> str:
        """The boxes of the sources at the coarsest of the zooms that each has."""
        boxes = []
        for source in self.sources:
            extents = filter(None, map(source.extent, self.zooms))
            for extent in list(extents)[:1]:
                first = tile_bbox(extent.min_x, extent.min_y, extent.zoom_level)
                last = tile_bbox(extent.max_x, extent.max_y, extent.zoom_level)
                edges = (first.min_lon, last.min_lat, last.max_lon, first.max_lat)
                boxes.append(",".join(f"{edge:.4f}" for edge in edges))
        return " and ".join(boxes)

    def blocks(self) -> Iterator[MosaicBlock]:
        """Every block, up to five zooms together, the coarsest ones first. Raises `ImagerySourceError`."""
        for zooms in _pyramids(self.zooms):
            yield from self._blocks_of([WantedZoom.of(self.area, zoom) for zoom in zooms])

    def _blocks_of(self, pyramid: Sequence[WantedZoom]) -> Iterator[MosaicBlock]:
        finest = pyramid[-1].zoom_level
        squares = heapq.merge(*(self._squares(one, finest) for one in pyramid), key=itemgetter(0))
        for _, together in groupby(squares, key=itemgetter(0)):
            yield from self._blocks_in([square for _, square in together], finest)

    def _squares(self, wanted: WantedZoom, finest: int) -> Iterator[tuple[tuple[int, int], WantedSquare]]:
        """The squares of a zoom that are as large on the ground as those of the finest, and their order."""
        extents = [source.extent(wanted.zoom_level) for source in self.sources]
        side = SQUARE >> (finest - wanted.zoom_level)
        for square in wanted.squares([extent for extent in extents if extent is not None], side):
            yield (square.within.min_y // side, square.within.min_x // side), square

    def _blocks_in(self, squares: Sequence[WantedSquare], finest: int) -> Iterator[MosaicBlock]:
        blocks: dict[tuple[int, int], tuple[dict[TilePlace, list[int]], dict[TilePlace, int]]] = defaultdict(
            lambda: ({}, {})
        )
        for square, (number, source) in product(squares, enumerate(self.sources)):
            extent = source.extent(square.within.zoom_level)
            there = None if extent is None else shared_range(square.within, extent)
            if there is None:
                continue
            bits = _BLOCK_STEPS - (finest - square.within.zoom_level)
            for place, size in source.places(there):
                if square.holds(place.x, place.y):
                    numbers, sizes = blocks[place.y >> bits, place.x >> bits]
                    numbers.setdefault(place, []).append(number)
                    sizes.setdefault(place, size)
        for _, (numbers, sizes) in sorted(blocks.items()):
            yield MosaicBlock(numbers, sizes)

    def read(
        self, block: MosaicBlock, versions: Mapping[int, Mapping[TilePlace, str]] | None = None
    ) -> Iterator[PlaceRead]:
        """Read the places of a block, source by source.

        A place of which the sources so far show a part is asked of the next source too, which fills in what
        is missing. `versions` are those that the stored tiles came from, by the number of their source: where
        nothing lies above it, such a source is asked only whether it has another one.
        Raises `ImagerySourceError`, behind the places that were read by then.
        """
        pending = dict(block.places)
        layers: dict[TilePlace, PlaceLayers] = defaultdict(lambda: PlaceLayers(self.codec))
        faults: dict[TilePlace, list[tuple[int, ImageryPlaceError]]] = defaultdict(list)
        unchanged: dict[TilePlace, int] = {}
        unread: set[TilePlace] = set()
        stopped: ImagerySourceError | None = None
        for number, source in enumerate(self.sources):
            asked = [place for place, numbers in pending.items() if number in numbers]
            if not asked:
                continue
            known = (versions or {}).get(number, {})
            expected = {place: known[place] for place in asked if place in known and place not in layers}
            filled_in = {place for place in asked if place in layers}
            answered = 0
            try:
                for place, answer in zip(asked, source.read(asked, expected, filled_in), strict=True):
                    answered += 1
                    if answer is Unchanged.UNCHANGED:
                        unchanged[place] = number
                        del pending[place]
                    elif isinstance(answer, ImageryTile):
                        try:
                            layers[place].add(number, answer, answer.captured_at or source.facts.captured_at)
                        except TileMetadataError as error:
                            faults[place].append((number, _undecodable(source, place, error)))
                        if layers[place].is_whole:
                            del pending[place]
                    elif answer is not None:
                        faults[place].append((number, answer))
            except ImagerySourceError as error:
                stopped = error
                later = {place for place, numbers in pending.items() if max(numbers) > number}
                unread = later.union(asked[answered:])
                break
        for place in block.places:
            if place in unread:
                continue
            if place in unchanged:
                found = faults.get(place, ())
                yield PlaceRead(place, [unchanged[place]], None, faults=found, is_unchanged=True)
                continue
            yield layers[place].as_read(place, faults.get(place, ()))
        if stopped is not None:
            raise stopped


def _undecodable(source: ImagerySource, place: TilePlace, error: TileMetadataError) -> ImageryPlaceError:
    return ImageryPlaceError(
        f"{source.name}: {place} can't fill in what other sources lack: {error}",
        place=place,
        kind="a damaged JPEG",
        remedy="leave this source out, or bring its tile in again",
    )


def _pyramids(zooms: Sequence[int]) -> list[list[int]]:
    """Ascending zooms, from the finest down in groups that share blocks."""
    groups: list[list[int]] = []
    for zoom in reversed(zooms):
        if groups and groups[0][-1] - zoom <= _BLOCK_STEPS:
            groups[0].insert(0, zoom)
        else:
            groups.insert(0, [zoom])
    return groups


def in_ranges(zooms: Sequence[int]) -> str:
    """Ascending zooms as an operator writes them: `10, 14-17`."""
    parts: list[list[int]] = []
    for zoom in zooms:
        if parts and parts[-1][-1] == zoom - 1:
            parts[-1].append(zoom)
        else:
            parts.append([zoom])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
