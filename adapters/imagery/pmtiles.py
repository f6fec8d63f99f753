"""`PmtilesArchive`: tiles in a PMTiles file (version 3) of any program."""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...domain.errors import ImageryPlaceError, ImagerySourceError
from ...domain.ports.imagery_source import ImageryFacts, TilePlace
from ...domain.values.tile_grid import MAX_ZOOM, GridRange
from ..pmtiles.archive_directory import ArchiveError, Directory, gunzip, parse_directory
from ..pmtiles.archive_ids import FIRST_IDS, archive_ids, places_of_ids
from ..strict_json import parse_json

_HEADER = struct.Struct("<7sB11Q4B")
"""Up to the type of the tiles; zooms and bounds are what a writer says, and the directories decide."""
_NO_COMPRESSION, _GZIP = (0, 1), 2
_COMPRESSIONS = {2: "gzip", 3: "brotli", 4: "zstd"}
_MVT = 1
_MOST_DIRECTORY_BYTES = 16 << 20
_MOST_METADATA_BYTES = 1 << 20
_MOST_PICTURE_BYTES = 16 << 20
_DEPTH = 3
_KEPT_LEAVES = 16
_KEPT_ENTRIES = 1 << 18
"""Of all kept leaves together; an entry takes 32 bytes. One larger leaf is kept alone."""
_EXPANDED_RUN = 64
_EXPANDED_ENTRIES = 1 << 12
"""Entries whose runs are expanded together: a small file may name very many tiles."""
_GRID_END = int(FIRST_IDS[MAX_ZOOM + 1])


class _Header(NamedTuple):
    magic: bytes
    version: int
    root_offset: int
    root_length: int
    metadata_offset: int
    metadata_length: int
    leaves_offset: int
    leaves_length: int
    data_offset: int
    data_length: int
    tiles: int
    entries: int
    contents: int
    clustered: int
    internal_compression: int
    tile_compression: int
    tile_type: int


class PmtilesArchive:
    """See `TileArchive`. Each number of the file is checked before it is used as a length or an offset.

    Memory: the root directory, and a few leaf directories at a time.
    """

    def __init__(self, path: Path) -> None:
        """Raises `ImagerySourceError`."""
        self.name = str(path)
        self.extents: dict[int, GridRange] = {}
        self._leaves: OrderedDict[int, Directory] = OrderedDict()
        self._some: TilePlace | None = None
        self._off_zooms = 0
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise ImagerySourceError(f"{path} can't be read: {error.strerror}") from error
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self._header = self._read_header()
            root = self._bytes(self._header.root_offset, self._header.root_length, _MOST_DIRECTORY_BYTES)
            self._root = self._directory(root)
            for directory in self._directories(self._root, 0, 1 << 62, _DEPTH):
                self._survey(directory)
            metadata = self._metadata()
            if not self.extents:
                raise ArchiveError("it holds no tiles")
        except ArchiveError as error:
            self._file.close()
            raise ImagerySourceError(
                f"{path} can't be read as PMTiles: {error}", remedy="write the archive again"
            ) from error
        except BaseException:
            self._file.close()
            raise
        self.facts = ImageryFacts(
            kind="PMTiles",
            name=metadata.get("name"),
            attribution=metadata.get("attribution"),
            licence=metadata.get("license"),
            left_out={"tile beyond zoom 22": self._off_zooms} if self._off_zooms else {},
        )

    def _read_header(self) -> _Header:
        content = self._bytes(0, _HEADER.size, _HEADER.size)
        header = _Header(*_HEADER.unpack(content))
        if header.magic != b"PMTiles" or header.version != 3:
            raise ArchiveError("it does not begin as version 3 does")
        if header.internal_compression not in (*_NO_COMPRESSION, _GZIP):
            kind = _COMPRESSIONS.get(header.internal_compression, "an unknown way")
            raise ArchiveError(f"its directories are compressed by {kind}, not by gzip")
        if header.tile_type == _MVT:
            raise ArchiveError("it holds vector tiles, which show no ground")
        if header.tile_compression not in _NO_COMPRESSION:
            kind = _COMPRESSIONS.get(header.tile_compression, "an unknown way")
            raise ArchiveError(f"its tiles are compressed by {kind}; pictures are not")
        for what in ("root", "metadata", "leaves", "data"):
            offset, length = getattr(header, f"{what}_offset"), getattr(header, f"{what}_length")
            if offset + length > self._size:
                raise ArchiveError(f"its section {what!r} ends behind the file of {self._size} bytes")
        return header

    def _bytes(self, offset: int, length: int, most_bytes: int) -> bytes:
        if length > most_bytes:
            raise ArchiveError(f"{length} bytes at {offset} are more than {most_bytes}")
        try:
            content = os.pread(self._file.fileno(), length, offset)
        except OSError as error:
            raise ImagerySourceError(f"{self.name} can't be read: {error.strerror}") from error
        if len(content) != length:
            raise ArchiveError(f"it ends at byte {offset + len(content)}, {length - len(content)} too early")
        return content

    def _directory(self, content: bytes) -> Directory:
        if self._header.internal_compression == _GZIP:
            content = gunzip(content, _MOST_DIRECTORY_BYTES)
        directory = parse_directory(content)
        is_tile = directory.runs > 0
        limits = np.where(is_tile, self._header.data_length, self._header.leaves_length).astype(np.uint64)
        if (directory.offsets + directory.lengths > limits).any():
            raise ArchiveError("an entry of a directory points behind its section")
        return directory

    def _leaf(self, directory: Directory, position: int) -> Directory:
        offset, length = int(directory.offsets[position]), int(directory.lengths[position])
        kept = self._leaves.get(offset)
        if kept is None:
            content = self._bytes(self._header.leaves_offset + offset, length, _MOST_DIRECTORY_BYTES)
            kept = self._directory(content)
            if int(kept.ids[0]) != int(directory.ids[position]):
                raise ArchiveError("a leaf directory does not begin where the entry for it does")
            entries = len(kept) + sum(map(len, self._leaves.values()))
            while self._leaves and (len(self._leaves) >= _KEPT_LEAVES or entries > _KEPT_ENTRIES):
                _, dropped = self._leaves.popitem(last=False)
                entries -= len(dropped)
            self._leaves[offset] = kept
        else:
            self._leaves.move_to_end(offset)
        return kept

    def _directories(self, directory: Directory, first: int, end: int, depth: int) -> Iterator[Directory]:
        """The directory and all below it; each holds ids of its own range, so that none is read twice."""
        if int(directory.ids[0]) < first or int(directory.ids[-1] + directory.runs[-1]) > end:
            raise ArchiveError("a leaf directory holds ids of another one")
        yield directory
        for position in np.flatnonzero(directory.runs == 0).tolist():
            if depth == 1:
                raise ArchiveError(f"its directories are more than {_DEPTH} deep")
            leaf = self._leaf(directory, position)
            leaf_end = end if position + 1 == len(directory) else int(directory.ids[position + 1])
            yield from self._directories(leaf, int(directory.ids[position]), leaf_end, depth - 1)

    def _survey(self, directory: Directory) -> None:
        """Widen the extents by the tiles of a directory."""
        starts, runs = directory.ids.astype(np.int64), directory.runs.astype(np.int64)
        beyond = np.maximum(starts + runs - _GRID_END, 0)
        self._off_zooms += int(np.minimum(beyond, runs).sum())
        runs = np.maximum(np.minimum(runs, _GRID_END - starts), 0)
        short = np.flatnonzero((runs > 0) & (runs <= _EXPANDED_RUN))
        for begin in range(0, len(short), _EXPANDED_ENTRIES):
            some = short[begin : begin + _EXPANDED_ENTRIES]
            repeats = runs[some]
            within = np.arange(int(repeats.sum())) - np.repeat(np.cumsum(repeats) - repeats, repeats)
            self._widen((np.repeat(starts[some], repeats) + within).astype(np.uint64), 0)
        for position in np.flatnonzero(runs > _EXPANDED_RUN).tolist():
            for start, levels in _squares(int(starts[position]), int(starts[position] + runs[position])):
                self._widen(np.array([start], np.uint64), levels)

    def _widen(self, ids: npt.NDArray[np.uint64], levels: int) -> None:
        """Widen by the squares of 2^levels tiles each side that begin at the ids."""
        if not len(ids):
            return
        zooms, x, y = places_of_ids(ids)
        if self._some is None:
            self._some = TilePlace(int(zooms[0]), int(x[0]), int(y[0]))
        x, y, more = x >> levels << levels, y >> levels << levels, (1 << levels) - 1
        for zoom in np.unique(zooms).tolist():
            of_zoom = zooms == zoom
            box = (x[of_zoom].min(), y[of_zoom].min(), x[of_zoom].max() + more, y[of_zoom].max() + more)
            known = self.extents.get(zoom)
            if known is not None:
                box = (
                    min(box[0], known.min_x),
                    min(box[1], known.min_y),
                    max(box[2], known.max_x),
                    max(box[3], known.max_y),
                )
            self.extents[zoom] = GridRange(zoom, *map(int, box))

    def _metadata(self) -> dict[str, str]:
        header = self._header
        content = self._bytes(header.metadata_offset, header.metadata_length, _MOST_METADATA_BYTES)
        if header.internal_compression == _GZIP and content:
            content = gunzip(content, _MOST_METADATA_BYTES)
        try:
            facts = parse_json(content.decode("utf-8")) if content else {}
        except (ValueError, RecursionError) as error:
            raise ArchiveError("its metadata are no JSON") from error
        if not isinstance(facts, dict):
            raise ArchiveError("its metadata are no JSON object")
        return {name: value for name, value in facts.items() if isinstance(value, str)}

    def some_place(self) -> TilePlace:
        assert self._some is not None
        return self._some

    def entries(self, within: GridRange) -> list[tuple[int, int, int]]:
        places = np.array(list(within), np.int64)
        zooms = np.full(len(places), within.zoom_level, np.int64)
        ids = archive_ids(zooms, places[:, 0], places[:, 1])
        _, lengths = self._found(ids)
        return [
            (x, y, length) for (x, y), length in zip(places.tolist(), lengths.tolist(), strict=True) if length
        ]

    def read(self, place: TilePlace) -> bytes:
        column = [np.array([number], np.int64) for number in place]
        offsets, lengths = self._found(archive_ids(*column))
        length = int(lengths[0])
        if not 0 < length <= _MOST_PICTURE_BYTES:
            kind = f"larger than {_MOST_PICTURE_BYTES >> 20} MiB" if length else "not there"
            raise ImageryPlaceError(f"{self.name}: {place} is {kind}", place=place, kind=kind)
        try:
            return self._bytes(self._header.data_offset + int(offsets[0]), length, _MOST_PICTURE_BYTES)
        except ArchiveError as error:
            raise ImagerySourceError(f"{self.name} can't be read: {error}") from error

    def _found(self, ids: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Offset and length of each tile; a length of 0 for one that is not there."""
        offsets, lengths = np.zeros(len(ids), np.uint64), np.zeros(len(ids), np.uint64)
        try:
            self._find(self._root, ids, np.arange(len(ids)), offsets, lengths)
        except ArchiveError as error:
            raise ImagerySourceError(f"{self.name} can't be read: {error}") from error
        return offsets, lengths

    def _find(
        self,
        directory: Directory,
        ids: npt.NDArray[np.uint64],
        wanted: npt.NDArray[np.intp],
        offsets: npt.NDArray[np.uint64],
        lengths: npt.NDArray[np.uint64],
    ) -> None:
        positions = np.searchsorted(directory.ids, ids[wanted], "right") - 1
        inside = positions >= 0
        wanted, positions = wanted[inside], positions[inside]
        is_leaf = directory.runs[positions] == 0
        hit = ids[wanted] < directory.ids[positions] + directory.runs[positions]
        offsets[wanted[hit]] = directory.offsets[positions[hit]]
        lengths[wanted[hit]] = directory.lengths[positions[hit]]
        for position in np.unique(positions[is_leaf]).tolist():
            of_leaf = wanted[is_leaf & (positions == position)]
            self._find(self._leaf(directory, position), ids, of_leaf, offsets, lengths)

    def close(self) -> None:
        self._file.close()


def _squares(start: int, end: int) -> Iterator[tuple[int, int]]:
    """A run of ids as squares of the grid: the first id of each, and how often its side doubles."""
    while start < end:
        zoom = int(np.searchsorted(FIRST_IDS, start, "right")) - 1
        levels = 0
        while (
            levels < zoom
            and (start - int(FIRST_IDS[zoom])) % (4 << 2 * levels) == 0
            and start + (4 << 2 * levels) <= min(end, int(FIRST_IDS[zoom + 1]))
        ):
            levels += 1
        yield start, levels
        start += 1 << 2 * levels
