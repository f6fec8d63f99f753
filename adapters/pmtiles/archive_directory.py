"""Directories of PMTiles version 3: columns of varints, in a gzip frame.

The frame holds stored blocks only. What a compressor makes of the same bytes differs between zlib, its forks
and its versions, and the same tiles must give the same archive. Stored blocks cost 2 bytes a tile.
"""

from __future__ import annotations

import struct
import zlib

import attrs
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, no system
_BLOCK_BYTES = 0xFFFF
_MOST_VARINT_BYTES = 10


class ArchiveError(ValueError):
    """The bytes are not the archive that they should be."""


@attrs.frozen(eq=False)
class Directory:
    """Entries by ascending tile id. A run of 0 names a leaf directory, by its place among the leaves."""

    ids: Numbers
    runs: Numbers
    """How many tiles, from `ids` on, have this content."""
    lengths: Numbers
    offsets: Numbers

    def __len__(self) -> int:
        return len(self.ids)


def gzip_stored(content: bytes) -> bytes:
    """The bytes in a gzip frame of stored blocks."""
    starts = range(0, len(content), _BLOCK_BYTES) or range(1)
    parts = [_GZIP_HEADER]
    for start in starts:
        block = content[start : start + _BLOCK_BYTES]
        is_last = start + _BLOCK_BYTES >= len(content)
        parts += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    parts.append(struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF))
    return b"".join(parts)


def gunzip(frame: bytes, most_bytes: int) -> bytes:
    """The content of one gzip frame. Raises `ArchiveError`, also beyond `most_bytes`."""
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = inflater.decompress(frame, most_bytes)
    except zlib.error as error:
        raise ArchiveError(f"no gzip frame: {error}") from error
    if not inflater.eof or inflater.unused_data:
        raise ArchiveError(f"the gzip frame does not end with its {len(frame)} bytes, or holds too much")
    return content


def encode_directory(directory: Directory) -> bytes:
    """The directory's bytes, in their gzip frame."""
    before = np.concatenate([np.zeros(1, np.uint64), directory.ids[:-1]])
    follows = np.zeros(len(directory), bool)
    follows[1:] = directory.offsets[1:] == directory.offsets[:-1] + directory.lengths[:-1]
    numbers = np.concatenate(
        [
            np.array([len(directory)], np.uint64),
            directory.ids - before,
            directory.runs,
            directory.lengths,
            np.where(follows, np.uint64(0), directory.offsets + np.uint64(1)),
        ]
    )
    return gzip_stored(_encode_varints(numbers))


def decode_directory(frame: bytes, most_bytes: int) -> Directory:
    """The directory in a gzip frame of at most `most_bytes`; see `parse_directory`."""
    return parse_directory(gunzip(frame, most_bytes))


def parse_directory(content: bytes) -> Directory:
    """The directory of these bytes, without a frame. Raises `ArchiveError`.

    Ids ascend, no two runs overlap, and no sum leaves 63 bits; offsets and lengths are for the caller to
    compare with the section that they point into.
    """
    numbers = _decode_varints(np.frombuffer(content, np.uint8))
    count = int(numbers[0]) if len(numbers) else 0
    if count == 0 or len(numbers) != 1 + 4 * count:
        raise ArchiveError(f"a directory of {count} entries holds {len(numbers)} numbers")
    if (numbers >> np.uint64(48)).any():
        raise ArchiveError("a number in a directory is beyond any grid and any archive")
    deltas, runs, lengths, coded = numbers[1:].reshape(4, count)
    if not lengths.all() or coded[0] == 0 or (deltas[1:] == 0).any():
        raise ArchiveError("an entry has no length, no offset or the id of the entry before")
    if count > 1 << 15 and int(deltas.max()) > (1 << 63) // count:
        raise ArchiveError("the ids of a directory are beyond any grid")
    ids = np.cumsum(deltas, dtype=np.uint64)
    if (ids[:-1] + runs[:-1] > ids[1:]).any():
        raise ArchiveError("a run of a directory reaches into the next entry")
    return Directory(ids, runs, lengths, _offsets(coded, lengths))


def _offsets(coded: Numbers, lengths: Numbers) -> Numbers:
    """The offset of each entry: the coded one less 1, or for 0 the end of the entry before."""
    given = coded != 0
    ends = np.cumsum(lengths, dtype=np.uint64)
    starts = ends - lengths
    last = np.maximum.accumulate(np.where(given, np.arange(len(coded)), 0))
    offsets: Numbers = coded[last] - np.uint64(1) + starts - starts[last]
    return offsets


def _encode_varints(numbers: Numbers) -> bytes:
    sizes = np.ones(len(numbers), np.int64)
    for shift in range(7, 7 * _MOST_VARINT_BYTES, 7):
        sizes += numbers >> np.uint64(shift) > 0
    ends = np.cumsum(sizes)
    out = np.zeros(int(ends[-1]), np.uint8)
    starts = ends - sizes
    for position in range(int(sizes.max())):
        there = sizes > position
        low = (numbers[there] >> np.uint64(7 * position)).astype(np.uint8) & 0x7F
        out[starts[there] + position] = low | np.where(sizes[there] > position + 1, 0x80, 0).astype(np.uint8)
    return out.tobytes()


def _decode_varints(content: npt.NDArray[np.uint8]) -> Numbers:
    ends = np.flatnonzero(content < 0x80) + 1
    if len(content) and (not len(ends) or ends[-1] != len(content)):
        raise ArchiveError("a directory ends within a number")
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    sizes = ends - starts
    if (sizes >= _MOST_VARINT_BYTES).any():
        raise ArchiveError("a directory holds a number beyond 63 bits")
    numbers = np.zeros(len(ends), np.uint64)
    for position in range(int(sizes.max(initial=0))):
        there = sizes > position
        low = (content[starts[there] + position] & 0x7F).astype(np.uint64)
        numbers[there] |= low << np.uint64(7 * position)
    return numbers
