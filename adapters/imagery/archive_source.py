"""`ArchiveSource`: the `ImagerySource` over tiles that lie ready-made in an archive or a folder."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import attrs

from ...domain.errors import ImageryPlaceError, ImagerySourceError
from ...domain.ports.imagery_source import FoundPlace, ImageryFacts, ReadPlace, TilePlace
from ...domain.values.tile_grid import MAX_ZOOM, GridRange
from .picture_places import tiles_at
from .pictures import PictureError, Quarter, format_of, most_bytes_of, size_of

_VERBATIM_SECONDS, _ENCODING_SECONDS = 0.0001, 0.004
_ENCODED_BITS_PER_PIXEL = 4
_PENDING_PER_THREAD = 4
"""Pictures that are read and wait for being decoded, for each thread."""


class TileArchive(Protocol):
    """Pictures at places of the grid, in an archive or a folder. Called by one thread at a time."""

    @property
    def name(self) -> str: ...

    @property
    def facts(self) -> ImageryFacts: ...

    @property
    def extents(self) -> Mapping[int, GridRange]:
        """By zoom, a rectangle around its pictures."""

    def some_place(self) -> TilePlace:
        """A place that has a picture; shows their format and size."""

    def entries(self, within: GridRange) -> list[tuple[int, int, int]]:
        """Column, row and length of each picture within a rectangle, by column and row, each place once."""

    def read(self, place: TilePlace) -> bytes:
        """The bytes of a picture. Raises `ImageryPlaceError` for that one, `ImagerySourceError`."""

    def close(self) -> None: ...


@attrs.frozen
class _Task:
    """One picture of the archive, and the places that are made of it."""

    picture: TilePlace
    quarters: list[Quarter | None] = attrs.field(factory=list)
    places: list[TilePlace] = attrs.field(factory=list)


class ArchiveSource:
    """See `ImagerySource`. Pictures twice as large as a tile of the store serve two zooms.

    Halved they are tiles of their own zoom; cut in four, of the next, where the archive has none of its own.
    """

    is_remote = False

    def __init__(self, archive: TileArchive, *, tile_size: int, threads: int | None = None) -> None:
        """Raises `ImagerySourceError` for tiles of a size that can't become the store's."""
        self.name = archive.name
        self.facts = archive.facts
        self._archive = archive
        self._tile_size = tile_size
        self._threads = threads or len(os.sched_getaffinity(0))
        self._is_double, self._is_verbatim = self._sampled()
        self.seconds_each = (
            _VERBATIM_SECONDS if self._is_verbatim else _ENCODING_SECONDS / min(4, self._threads)
        )

    def _sampled(self) -> tuple[bool, bool]:
        """Whether the pictures have twice the store's size, and whether they go in verbatim; by one."""
        try:
            content = self._archive.read(self._archive.some_place())
            size = size_of(content)
        except (PictureError, ImageryPlaceError):
            return False, False
        if size is None or size == (self._tile_size, self._tile_size):
            return False, format_of(content) == "JPEG"
        if size == (2 * self._tile_size, 2 * self._tile_size):
            return True, False
        raise ImagerySourceError(
            f"{self.name} holds tiles of {size[0]} x {size[1]} pixels, "
            f"the store those of {self._tile_size} (tiles.tile_size_pixels)",
            remedy=f"cut tiles of {self._tile_size} or {2 * self._tile_size} pixels; none is enlarged",
        )

    def zooms(self) -> Sequence[int]:
        zooms = set(self._archive.extents)
        if self._is_double:
            zooms |= {zoom + 1 for zoom in zooms if zoom < MAX_ZOOM}
        return sorted(zooms)

    def extent(self, zoom_level: int) -> GridRange | None:
        own = self._archive.extents.get(zoom_level)
        parents = self._archive.extents.get(zoom_level - 1) if self._is_double else None
        cut = None
        if parents is not None:
            cut = GridRange(
                zoom_level,
                2 * parents.min_x,
                2 * parents.min_y,
                2 * parents.max_x + 1,
                2 * parents.max_y + 1,
            )
        if own is None or cut is None:
            return own or cut
        return GridRange(
            zoom_level,
            min(own.min_x, cut.min_x),
            min(own.min_y, cut.min_y),
            max(own.max_x, cut.max_x),
            max(own.max_y, cut.max_y),
        )

    def places(self, within: GridRange) -> Sequence[FoundPlace]:
        zoom = within.zoom_level
        guess = self._tile_size**2 * _ENCODED_BITS_PER_PIXEL // 8
        found = {
            (x, y): length if self._is_verbatim else guess for x, y, length in self._archive.entries(within)
        }
        if self._is_double and zoom:
            parents = GridRange(
                zoom - 1, within.min_x // 2, within.min_y // 2, within.max_x // 2, within.max_y // 2
            )
            for parent_x, parent_y, _ in self._archive.entries(parents):
                for x in (2 * parent_x, 2 * parent_x + 1):
                    for y in (2 * parent_y, 2 * parent_y + 1):
                        if within.min_x <= x <= within.max_x and within.min_y <= y <= within.max_y:
                            found.setdefault((x, y), guess)
        return [FoundPlace(TilePlace(zoom, x, y), size) for (x, y), size in sorted(found.items())]

    def read(
        self,
        places: Sequence[TilePlace],
        versions: Mapping[TilePlace, str] | None = None,
        decoded: Collection[TilePlace] = (),
    ) -> Iterator[ReadPlace]:
        answers: dict[TilePlace, ReadPlace] = {}
        pending: deque[tuple[_Task, Future[list[ReadPlace]]]] = deque()

        def settle() -> None:
            task, made = pending.popleft()
            answers.update(zip(task.places, made.result(), strict=True))

        with ThreadPoolExecutor(self._threads, thread_name_prefix="aerotile-encode") as pool:
            for task in self._tasks(places):
                try:
                    content = self._archive.read(task.picture)
                except ImageryPlaceError as error:
                    answers.update(dict.fromkeys(task.places, error))
                    continue
                if self._takes_verbatim(task, content) or len(content) > most_bytes_of(2 * self._tile_size):
                    answers.update(zip(task.places, self._made(task, content, decoded), strict=True))
                    continue
                pending.append((task, pool.submit(self._made, task, content, decoded)))
                if len(pending) > _PENDING_PER_THREAD * self._threads:
                    settle()
            while pending:
                settle()
        for place in places:
            yield answers[place]

    def _tasks(self, places: Sequence[TilePlace]) -> list[_Task]:
        """What is to be made of which picture."""
        own: set[TilePlace] = set()
        if self._is_double and places:
            own = self._own_of(places)
        tasks: dict[TilePlace, _Task] = {}
        for place in places:
            is_own = not self._is_double or place in own
            picture = place if is_own else TilePlace(place.zoom_level - 1, place.x >> 1, place.y >> 1)
            task = tasks.setdefault(picture, _Task(picture))
            task.quarters.append(None if is_own else (place.x & 1, place.y & 1))
            task.places.append(place)
        return list(tasks.values())

    def _own_of(self, places: Sequence[TilePlace]) -> set[TilePlace]:
        """Those of the places that have a picture of their own."""
        own = set()
        for zoom in {place.zoom_level for place in places}:
            xs, ys = zip(*(place[1:] for place in places if place.zoom_level == zoom), strict=True)
            around = GridRange(zoom, min(xs), min(ys), max(xs), max(ys))
            own |= {TilePlace(zoom, x, y) for x, y, _ in self._archive.entries(around)}
        return own

    def _takes_verbatim(self, task: _Task, content: bytes) -> bool:
        if task.quarters != [None] or format_of(content) != "JPEG":
            return False
        return size_of(content) in (None, (self._tile_size, self._tile_size))

    def _made(self, task: _Task, content: bytes, decoded: Collection[TilePlace]) -> list[ReadPlace]:
        """The tiles that are made of one picture; on any thread."""
        return tiles_at(self.name, task.places, content, self._tile_size, task.quarters, decoded)

    def stop(self) -> None:
        """See `ImagerySource`: a block is read within seconds."""

    def __enter__(self) -> ArchiveSource:
        return self

    def __exit__(self, *raised: object) -> None:
        self._archive.close()
