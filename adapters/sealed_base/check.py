"""Checking a whole generation: every part of every file, and the archive's directories against the facts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import BaseUnavailableError
from ...domain.values.tile_grid import MAX_ZOOM
from ...domain.values.tile_key import MORTON_BITS, VARIANT_BITS, decode_tile_key
from ...ext import MappedPixels
from ..index_files import INDEX_FILES
from ..pmtiles.archive_directory import ArchiveError, Directory, decode_directory
from ..pmtiles.archive_header import DATA_OFFSET, HEADER_BYTES, ArchiveHeader, decode_header
from ..pmtiles.archive_ids import archive_ids_of_keys
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
    """
    header = decode_header(_bytes(base.archive, 0, HEADER_BYTES), base.archive.nbytes)
    rows = _facts(base)
    zooms = rows["key"] >> (VARIANT_BITS + MORTON_BITS)
    if ((zooms < 0) | (zooms > MAX_ZOOM)).any():
        raise ArchiveError("the facts name tiles that there are none of")
    if (rows["key"][1:] >> VARIANT_BITS <= rows["key"][:-1] >> VARIANT_BITS).any():
        raise ArchiveError("the facts do not ascend by place")
    ids = archive_ids_of_keys(rows["key"])
    order = np.argsort(ids)
    seen = 0
    for entries in _leaves(base.archive, header):
        runs = entries.runs.astype(np.int64)
        tiles = np.repeat(entries.ids, runs) + (
            np.arange(int(runs.sum())) - np.repeat(np.cumsum(runs) - runs, runs)
        ).astype(np.uint64)
        expected = rows[order[seen : seen + len(tiles)]]
        offsets = np.repeat(entries.offsets, runs) + np.uint64(DATA_OFFSET)
        if (
            len(expected) != len(tiles)
            or (ids[order[seen : seen + len(tiles)]] != tiles).any()
            or (expected["offset"] != offsets).any()
            or (expected["length"] != np.repeat(entries.lengths, runs)).any()
        ):
            raise ArchiveError("its directories and the facts name different tiles or bytes")
        seen += len(tiles)
    if seen != len(rows):
        raise ArchiveError(f"its directories name {seen} tiles, the facts {len(rows)}")


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
