"""Checking a whole generation: every part of every file, and the archive's directories against the facts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import BaseUnavailableError
from ...domain.values.catalogue_entries import Keys
from ...domain.values.counted import counted
from ...domain.values.place_keys import place_keys
from ...domain.values.tile_grid import MAX_ZOOM
from ...domain.values.tile_key import MORTON_BITS, VARIANT_BITS, decode_tile_key
from ...ext import MappedPixels
from ..index_files import INDEX_FILES
from ..pmtiles.archive_directory import ArchiveError, Directory, Numbers, decode_directory
from ..pmtiles.archive_header import DATA_OFFSET, HEADER_BYTES, ArchiveHeader, decode_header
from ..pmtiles.archive_ids import FIRST_IDS, Ids, places_of_ids
from .facts import FACTS_ROW
from .manifest import ARCHIVE_FILE, FACTS_FILE, SECTORS_FILE, SealedFile
from .mapped_base import MappedBase

_MOST_DIRECTORY_BYTES = 64 << 20
_ROWS_AT_ONCE = 1 << 16


@attrs.frozen
class BaseFinding:
    """Something in a generation that is not as it was sealed."""

    what: str
    """A tile id, or the name of a file."""
    detail: str


@attrs.define
class BaseCheck:
    """How far a check of a generation is; one that is given back to `check_base` goes on from there."""

    parts: int = 0
    """Parts of files that were hashed."""
    findings: list[BaseFinding] = attrs.field(factory=list)
    """In all files but the archive."""
    damaged: list[tuple[int, int]] = attrs.field(factory=list)
    """First byte of each damaged part of the archive, and the byte behind its last."""


def check_base(
    base: MappedBase,
    *,
    check: BaseCheck | None = None,
    pace: Callable[[int], None] = lambda read_bytes: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> list[BaseFinding]:
    """Hash every byte of a generation; returns what is damaged, tile by tile where only tiles are.

    `pace(read_bytes)` is called after each part and may sleep; `progress(done, total)` counts bytes.
    `checkpoint` is called when `check` stands behind a part. Raises nothing for a damaged generation.
    """
    check = BaseCheck() if check is None else check
    files = base.signed.manifest.files
    parts = [
        (name, number)
        for name in base.signed.manifest.file_names
        if name != SECTORS_FILE
        for number in range(files[name].parts)
    ]
    if check.parts > len(parts):  # not of this generation, whatever its file says
        check.parts = 0
    total = sum(files[name].size for name in base.signed.manifest.file_names if name != SECTORS_FILE)
    done = sum(_length(files[name], number) for name, number in parts[: check.parts])
    for name, number in parts[check.parts :]:
        begin, length = number * files[name].part_bytes, _length(files[name], number)
        try:
            base.check_part(name, number)
        except BaseUnavailableError as error:
            if name == ARCHIVE_FILE:
                check.damaged.append((begin, begin + length))
            else:
                check.findings.append(BaseFinding(name, str(error)))
        check.parts += 1
        done += length
        checkpoint()
        pace(length)
        progress(done, total)
    findings = list(check.findings)
    if any(finding.what == FACTS_FILE for finding in findings):  # they say which tiles a damaged part holds
        return findings + [
            BaseFinding(ARCHIVE_FILE, f"damaged between bytes {a} and {b}") for a, b in check.damaged
        ]
    for begin, end in check.damaged:
        in_part = list(_damaged_tiles(base, begin, end))
        findings += in_part or [BaseFinding(ARCHIVE_FILE, f"damaged between bytes {begin} and {end}")]
    if all(finding.what in INDEX_FILES for finding in findings):
        try:
            _compare_directories(base)
        except ArchiveError as error:
            findings.append(BaseFinding(ARCHIVE_FILE, str(error)))
    return findings


def _length(file: SealedFile, number: int) -> int:
    """Bytes of a part."""
    return min(file.part_bytes, file.size - number * file.part_bytes)


def _facts(base: MappedBase) -> npt.NDArray[np.void]:
    return np.frombuffer(memoryview(base.facts), FACTS_ROW)


def _damaged_tiles(base: MappedBase, begin: int, end: int) -> Iterator[BaseFinding]:
    """The tiles with a byte in a part of the archive whose bytes are not those that the facts promise."""
    rows = _facts(base)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        piece = rows[first : first + _ROWS_AT_ONCE]
        touched = (piece["offset"] < end) & (piece["offset"] + piece["length"] > begin)
        for row in piece[touched]:
            try:
                tile_id = decode_tile_key(int(row["key"]), base.signed.manifest.variants)
                with base.archive.part(int(row["offset"]), int(row["length"])) as pixels:
                    pixels.prefault()
                    intact = hashlib.sha256(pixels).digest() == row["sha256"].tobytes()
            except (ValueError, KeyError) as error:  # of a base without a signature, or of a signer's
                yield BaseFinding(FACTS_FILE, f"the facts of a tile are impossible: {error}")
            except OSError as error:
                yield BaseFinding(str(tile_id), f"the disk does not give it: {error.strerror}")
            else:
                if not intact:
                    yield BaseFinding(str(tile_id), "its bytes have another SHA-256 than its facts")


def _compare_directories(base: MappedBase) -> None:
    """Compare each entry of the archive with the facts. Raises `ArchiveError` where they differ.

    Other programs read tiles by the directories, and this one by the facts: both must give the same bytes.
    Memory does not grow with the tiles: no two entries name one tile, each finds its row, and there are as
    many of both.
    """
    header = decode_header(_bytes(base.archive, 0, HEADER_BYTES), base.archive.nbytes)
    rows = _facts(base)
    _check_order(rows["key"])
    seen, last = 0, np.uint64(0)
    for ids, offsets, lengths in _entries(base.archive, header):
        if (seen and ids[0] <= last) or (ids[1:] <= ids[:-1]).any() or ids[-1] >= int(FIRST_IDS[-1]):
            raise ArchiveError("its directories name a tile twice, or one that there is none of")
        places = _places_of(ids)
        row = rows[_row_numbers(rows["key"], places)]
        if (
            (row["key"] >> VARIANT_BITS != places).any()
            or (row["offset"] != offsets + np.uint64(DATA_OFFSET)).any()
            or (row["length"] != lengths).any()
        ):
            raise ArchiveError("its directories and the facts name different tiles or bytes")
        seen, last = seen + len(ids), ids[-1]
    if seen != len(rows):
        raise ArchiveError(f"its directories name {counted(seen, 'tile')}, the facts {len(rows)}")


def _check_order(keys: Keys) -> None:
    """Raise `ArchiveError` unless the keys ascend by place, and are tiles' keys."""
    for first in range(0, len(keys), _ROWS_AT_ONCE):
        places = keys[first : first + _ROWS_AT_ONCE + 1] >> VARIANT_BITS  # one of the next piece too
        if ((places < 0) | (places >> MORTON_BITS > MAX_ZOOM)).any():
            raise ArchiveError("the facts name tiles that there are none of")
        if (places[1:] <= places[:-1]).any():
            raise ArchiveError("the facts do not ascend by place")


def _places_of(ids: Ids) -> Keys:
    """The tile keys of archive ids, without their variants."""
    zooms, x, y = places_of_ids(ids)
    places: Keys = zooms << MORTON_BITS | place_keys(0, x, y) >> VARIANT_BITS
    return places


def _row_numbers(keys: Keys, places: Keys) -> npt.NDArray[np.intp]:
    """For each place the last row at or before it, or the first one.

    As `numpy.searchsorted`, which would copy the keys: in the facts they do not lie side by side.
    """
    low, high = np.zeros(len(places), np.intp), np.full(len(places), len(keys), np.intp)
    for _ in range(len(keys).bit_length()):
        middle = (low + high) // 2
        is_behind = keys[np.minimum(middle, len(keys) - 1)] >> VARIANT_BITS > places
        low, high = np.where(is_behind | (middle == high), low, middle + 1), np.where(is_behind, middle, high)
    return np.maximum(low - 1, 0)


def _entries(archive: MappedPixels, header: ArchiveHeader) -> Iterator[tuple[Ids, Numbers, Numbers]]:
    """Id, offset among the tiles and length of each tile that the directories name, in pieces."""
    for leaf in _leaves(archive, header):
        ends = np.cumsum(leaf.runs)
        total = int(ends[-1])
        for first in range(0, total, _ROWS_AT_ONCE):
            positions = np.arange(first, min(first + _ROWS_AT_ONCE, total), dtype=np.uint64)
            entry = np.searchsorted(ends, positions, "right")
            ids = leaf.ids[entry] + (positions - (ends - leaf.runs)[entry])
            yield ids, leaf.offsets[entry], leaf.lengths[entry]


def _leaves(archive: MappedPixels, header: ArchiveHeader) -> Iterator[Directory]:
    """The directories that hold tiles, in order. Raises `ArchiveError`."""
    root = decode_directory(_bytes(archive, HEADER_BYTES, header.root_length), _MOST_DIRECTORY_BYTES)
    tiles_left = header.tiles
    if root.runs.all():
        yield _bounded(root, header, tiles_left)
        return
    if root.runs.any():
        raise ArchiveError("the root directory holds tiles and leaves")
    if ((root.offsets + root.lengths) > np.uint64(header.leaves_length)).any():
        raise ArchiveError("a leaf directory lies outside of the leaves")
    for offset, length in zip(root.offsets.tolist(), root.lengths.tolist(), strict=True):
        frame = _bytes(archive, header.leaves_offset + offset, length)
        leaf = _bounded(decode_directory(frame, _MOST_DIRECTORY_BYTES), header, tiles_left)
        tiles_left -= int(leaf.runs.sum())
        yield leaf


def _bounded(directory: Directory, header: ArchiveHeader, most_tiles: int) -> Directory:
    """The directory, whose entries hold tiles, no more than are left, within the section of the tiles."""
    if not directory.runs.all() or int(directory.runs.sum()) > most_tiles:
        raise ArchiveError(f"a directory names more than {most_tiles} tiles, or a leaf of its own")
    if ((directory.offsets + directory.lengths) > np.uint64(header.data_length)).any():
        raise ArchiveError("a tile lies outside of the archive's tiles")
    return directory


def _bytes(archive: MappedPixels, offset: int, length: int) -> bytes:
    with archive.part(offset, length) as part:
        return bytes(memoryview(part))
