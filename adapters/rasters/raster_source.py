"""`RasterSource`: the `ImagerySource` over one GeoTIFF."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import attrs
import numpy as np
import simplejpeg

from ...domain.errors import ImageryPlaceError
from ...domain.ports.imagery_source import FoundPlace, ImageryFacts, ImageryTile, ReadPlace, TilePlace
from ...domain.values.pictures import JPEG_QUALITY, MaskedPicture
from ...domain.values.tile_grid import EARTH_CIRCUMFERENCE_M, GridRange, range_around
from ..halved_pictures import Picture, halved, joined
from .errors import GDAL_ERRORS, reason_of
from .footprint import Footprint
from .raster_file import TIFF_TIME, open_raster
from .warped_block import BlockWarper

_PYRAMID_ZOOMS = 5
"""Of so many zooms the finest is warped, and each other made of the next; or else an overview is read."""
_BLOCK_STEPS = 2
"""Four by four places are warped together: large enough for the warper, small enough for all cores."""
_SAMPLED_PLACES = 5


@attrs.frozen
class _Block:
    """What came of one warped block: the answers for its places, and its picture at its own zoom."""

    answers: dict[TilePlace, ReadPlace]
    picture: Picture | None
    error: ImageryPlaceError | None = None


class RasterSource:
    """See `ImagerySource`. A tile's bytes follow from the raster alone, whatever else is read.

    A zoom for which the raster or an overview is just fine enough is warped from it. Where none is,
    parents are the means of their children, and `read` warps the children once for all of its places.
    """

    is_remote = False

    def __init__(
        self, path: Path, *, tile_size: int, enlarge_to: int | None = None, threads: int | None = None
    ) -> None:
        """`enlarge_to`: the finest zoom that is made although the raster is coarser; None: none is.

        Raises `ImagerySourceError` for a raster that can't be read or placed, one line each.
        """
        self.name = str(path)
        self._raster = open_raster(path)
        self._tile_size = tile_size
        self._own_finest = self._raster.max_zoom(tile_size)
        self._finest = max(self._own_finest, enlarge_to or 0)
        self._footprint = Footprint.of(self._raster, self._own_finest)
        self._warper = BlockWarper(self._raster, tile_size)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="aerotile-warp")

    @property
    def facts(self) -> ImageryFacts:
        """See `ImagerySource`; the capture time is what the file's tags say."""
        raster = self._raster
        further = raster.further_images
        return ImageryFacts(
            kind="GeoTIFF",
            name=raster.path.stem,
            captured_at=raster.captured_at,
            captured_at_from=raster.captured_at_tag and f"its tag {raster.captured_at_tag}",
            captured_at_is_the_files=raster.captured_at_tag == TIFF_TIME,
            left_out={"further image of the file": further} if further else {},
        )

    @property
    def seconds_each(self) -> float:
        """See `ImagerySource`: as a few places took, on all threads."""
        return self._sampled[1] / self._threads

    def zooms(self) -> Sequence[int]:
        """See `ImagerySource`: from a raster as large as a tile to pixels as fine as a tile's."""
        return range(self._footprint.coarsest, self._finest + 1)

    def extent(self, zoom_level: int) -> GridRange | None:
        if zoom_level not in self.zooms():
            return None
        return range_around(self._footprint.ranges(zoom_level))

    def places(self, within: GridRange) -> Sequence[FoundPlace]:
        """See `ImagerySource`. A place without a valid pixel is found out when it is read.

        The first call reads a few tiles, from which sizes and times are estimated.
        """
        if within.zoom_level not in self.zooms():
            return []
        size = self._sampled[0]
        return [FoundPlace(place, size) for place in self._footprint.places(within)]

    def read(
        self,
        places: Sequence[TilePlace],
        versions: Mapping[TilePlace, str] | None = None,
        decoded: Collection[TilePlace] = (),
    ) -> Iterator[ReadPlace]:
        """See `ImagerySource`. In memory are the places' JPEGs or pixels, and the pixels of one pyramid."""
        pyramids: dict[tuple[int, TilePlace], set[TilePlace]] = defaultdict(set)
        for place in places:
            pyramids[self._pyramid_of(place)].add(place)
        answers: dict[TilePlace, ReadPlace] = {}
        for place in places:
            if place not in answers:
                warped, root = self._pyramid_of(place)
                answers |= self._read_pyramid(warped, pyramids[warped, root], decoded)
            yield answers[place]

    def _pyramid_of(self, place: TilePlace) -> tuple[int, TilePlace]:
        """The zoom that is warped for a place, and the place that it shares its warped blocks in."""
        warped = self._warped_zoom(place.zoom_level)
        return warped, _ancestor(place, max(0, warped - _PYRAMID_ZOOMS + 1))

    def _warped_zoom(self, zoom_level: int) -> int:
        """The zoom that is warped for the tiles of a zoom."""
        finest_alike = zoom_level
        while finest_alike < self._own_finest and self._overview(finest_alike + 1) == self._overview(
            zoom_level
        ):
            finest_alike += 1
        return finest_alike - (finest_alike - zoom_level) // _PYRAMID_ZOOMS * _PYRAMID_ZOOMS

    def _overview(self, zoom_level: int) -> int | None:
        return self._raster.overview_for(EARTH_CIRCUMFERENCE_M / (self._tile_size << zoom_level))

    def _read_pyramid(
        self, warped: int, wanted: set[TilePlace], decoded: Collection[TilePlace]
    ) -> dict[TilePlace, ReadPlace]:
        """Warp what the places need, at most 16 by 16 of the warped zoom, and make the others of it."""
        coarsest = min(place.zoom_level for place in wanted)
        # GDAL rounds by the extent of what it warps, which is therefore the same for any choice of places.
        block_zoom = max(0, warped - _BLOCK_STEPS)
        blocks: dict[TilePlace, set[TilePlace]] = defaultdict(set)
        for place in wanted:
            for block in _descendants(place, block_zoom):
                blocks[block].add(place)
        covered = set(self._footprint.places(_around(blocks)))
        jobs = {
            block: self._pool.submit(self._block, block, frozenset(within), warped, block in covered, decoded)
            for block, within in sorted(blocks.items())
        }
        try:
            done = {block: job.result() for block, job in jobs.items()}
        finally:
            for job in jobs.values():
                job.cancel()
        answers = {place: answer for block in done.values() for place, answer in block.answers.items()}
        ancestors = {place for place in wanted if place.zoom_level < block_zoom}
        for level in range(block_zoom - 1, coarsest - 1, -1):
            done = self._parents(level, done, ancestors, decoded)
            answers |= {place: answer for block in done.values() for place, answer in block.answers.items()}
        return answers

    def stop(self) -> None:
        """See `ImagerySource`: a block is read within seconds."""

    def __enter__(self) -> RasterSource:
        return self

    def __exit__(self, *raised: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._warper.close()

    @cached_property
    def _sampled(self) -> tuple[int, float]:
        """The mean size in bytes of a few tiles, and the mean time that one took on one thread."""
        sizes, seconds = [], []
        finest = self._own_finest
        for box in self._footprint.boxes:
            within = GridRange.covering(box, finest)
            for step in range(1, _SAMPLED_PLACES + 1):
                share = step / (_SAMPLED_PLACES + 1)
                x = within.min_x + int((within.max_x - within.min_x) * share)
                y = within.min_y + int((within.max_y - within.min_y) * share)
                started = time.perf_counter()
                picture = self._warped(TilePlace(finest, x, y), 1)
                if isinstance(picture, Picture):
                    sizes.append(len(_jpeg(picture)))
                    seconds.append(time.perf_counter() - started)
        if not sizes:
            return self._tile_size**2 // 4, 0.01
        return sum(sizes) // len(sizes), sum(seconds) / len(seconds)

    def _warped(self, place: TilePlace, tiles: int) -> Picture | ImageryPlaceError | None:
        try:
            return self._warper.warp(*place, tiles)
        except GDAL_ERRORS as error:
            return ImageryPlaceError(
                f"{self.name} can't be read at {place}: {reason_of(error)}",
                place=place,
                kind="an unreadable part of the raster",
                remedy="copy the file again, or compare it with its origin",
            )

    def _block(
        self,
        block: TilePlace,
        wanted: frozenset[TilePlace],
        finest: int,
        is_covered: bool,
        decoded: Collection[TilePlace],
    ) -> _Block:
        """Warp a block at the finest zoom, and make everything in it up to its own zoom. In any thread."""
        steps = finest - block.zoom_level
        corner = TilePlace(finest, block.x << steps, block.y << steps)
        warped = self._warped(corner, 1 << steps) if is_covered else None
        inside = [place for place in wanted if place.zoom_level >= block.zoom_level]
        if isinstance(warped, ImageryPlaceError):
            return _Block({place: _at(warped, place) for place in inside}, None, warped)
        if warped is None:
            return _Block(dict.fromkeys(inside), None)
        answers: dict[TilePlace, ReadPlace] = {}
        picture = warped
        for level in range(finest, block.zoom_level - 1, -1):
            if level < finest:
                picture = halved(picture)
            corner_x, corner_y = block.x << (level - block.zoom_level), block.y << (level - block.zoom_level)
            for place in inside:
                if place.zoom_level == level:
                    row, column = place.y - corner_y, place.x - corner_x
                    size = self._tile_size
                    part = picture.part(row * size, column * size, size)
                    answers[place] = self._tile(place, part, place in decoded)
            if all(place.zoom_level >= level for place in wanted):
                break
        return _Block(answers, picture)

    def _parents(
        self,
        zoom_level: int,
        children: dict[TilePlace, _Block],
        wanted: set[TilePlace],
        decoded: Collection[TilePlace],
    ) -> dict[TilePlace, _Block]:
        """The parents, one zoom up, of which anything is wanted; all four children of each are there."""
        needed = {
            _ancestor(child, zoom_level)
            for child in children
            if any(one.zoom_level <= zoom_level and _ancestor(child, one.zoom_level) == one for one in wanted)
        }
        parents = {}
        for place in needed:
            four = [children[child] for child in _descendants(place, zoom_level + 1)]
            error = next((one.error for one in four if one.error is not None), None)
            picture = None if error is not None else self._parent([one.picture for one in four])
            answer: ReadPlace = None
            if error is not None:
                answer = _at(error, place)
            elif picture is not None:
                answer = self._tile(place, picture, place in decoded)
            parents[place] = _Block({place: answer} if place in wanted else {}, picture, error)
        return parents

    def _parent(self, children: Sequence[Picture | None]) -> Picture | None:
        if all(child is None for child in children):
            return None
        bands = next(child.planes.shape[0] for child in children if child is not None)
        size = self._tile_size
        empty = Picture(np.zeros((bands, size, size), np.uint8), np.zeros((size, size), np.bool_))
        first, second, third, fourth = (child or empty for child in children)
        return halved(joined((first, second, third, fourth)))

    def _tile(self, place: TilePlace, picture: Picture, stays_decoded: bool) -> ImageryTile | None:
        if picture.valid_fraction == 0.0:
            return None
        enlarged = (
            self._raster.metres_per_pixel * (self._tile_size << place.zoom_level) / EARTH_CIRCUMFERENCE_M
        )
        made_of = self._raster.described(enlarged if place.zoom_level > self._own_finest else None)
        part = _part(picture, stays_decoded)
        pixels = None if part is not None else _jpeg(picture)
        return ImageryTile(place=place, pixels=pixels, encoded_from=made_of, part=part)


def _part(picture: Picture, also_whole: bool) -> MaskedPicture | None:
    is_whole = picture.valid is None or bool(picture.valid.all())
    if is_whole and not also_whole:
        return None
    planes = picture.planes if len(picture.planes) == 3 else np.repeat(picture.planes, 3, axis=0)
    pixels = np.stack(list(planes), axis=2)
    if is_whole or picture.valid is None:
        return MaskedPicture.whole(pixels)
    return MaskedPicture(pixels, picture.valid.copy())


def _jpeg(picture: Picture) -> bytes:
    pixels = np.stack(list(picture.planes), axis=2)
    colours, sampling = ("GRAY", "Gray") if pixels.shape[2] == 1 else ("RGB", "420")
    encoded: bytes = simplejpeg.encode_jpeg(pixels, JPEG_QUALITY, colours, sampling)
    return encoded


def _around(places: Iterable[TilePlace]) -> GridRange:
    """A rectangle around places of one zoom."""
    zooms, columns, rows = zip(*places, strict=True)
    return GridRange(zooms[0], min(columns), min(rows), max(columns), max(rows))


def _ancestor(place: TilePlace, zoom_level: int) -> TilePlace:
    steps = place.zoom_level - zoom_level
    return TilePlace(zoom_level, place.x >> steps, place.y >> steps)


def _descendants(place: TilePlace, zoom_level: int) -> Iterator[TilePlace]:
    """Row by row, so that the four children are north-west, north-east, south-west, south-east.

    At a coarser zoom, the ancestor.
    """
    steps = zoom_level - place.zoom_level
    if steps < 0:
        yield _ancestor(place, zoom_level)
        return
    for row in range(1 << steps):
        for column in range(1 << steps):
            yield TilePlace(zoom_level, (place.x << steps) + column, (place.y << steps) + row)


def _at(error: ImageryPlaceError, place: TilePlace) -> ImageryPlaceError:
    """The error of a block, for one of its places."""
    return ImageryPlaceError(str(error), place=place, kind=error.kind, remedy=error.remedy)
