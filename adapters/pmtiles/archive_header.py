"""The header of PMTiles version 3: 127 bytes."""

from __future__ import annotations

import struct

import attrs

from .archive_directory import ArchiveError

HEADER_BYTES = 127
DATA_OFFSET = 16_384
"""Where the tiles begin: readers fetch so many bytes first, and header and root directory lie in them."""
MOST_ROOT_BYTES = DATA_OFFSET - HEADER_BYTES
_LAYOUT = struct.Struct("<7sB8Q3Q6B4iB2i")
_GZIP, _UNCOMPRESSED, _JPEG = 2, 1, 3


@attrs.frozen(kw_only=True)
class ArchiveHeader:
    """Where the sections of an archive are, and what it holds; offsets are from the archive's begin."""

    root_length: int
    metadata_offset: int
    metadata_length: int
    leaves_offset: int
    leaves_length: int
    data_length: int
    tiles: int
    entries: int
    contents: int
    min_zoom: int
    max_zoom: int
    bounds_e7: tuple[int, int, int, int]
    """West, south, east, north in units of 1e-7 degrees."""

    @property
    def archive_length(self) -> int:
        """The exact length of the archive."""
        return self.metadata_offset + self.metadata_length

    def encode(self) -> bytes:
        """The header's bytes."""
        west, south, east, north = self.bounds_e7
        return _LAYOUT.pack(
            b"PMTiles",
            3,
            HEADER_BYTES,
            self.root_length,
            self.metadata_offset,
            self.metadata_length,
            self.leaves_offset,
            self.leaves_length,
            DATA_OFFSET,
            self.data_length,
            self.tiles,
            self.entries,
            self.contents,
            1,  # clustered
            _GZIP,
            _UNCOMPRESSED,
            _JPEG,
            self.min_zoom,
            self.max_zoom,
            west,
            south,
            east,
            north,
            self.min_zoom,
            (west + east) // 2,
            (south + north) // 2,
        )


def decode_header(content: bytes, archive_length: int) -> ArchiveHeader:
    """The header of an archive of ours that is so long. Raises `ArchiveError`.

    The sections lie behind each other without gaps, and end with the archive.
    """
    if len(content) < HEADER_BYTES:
        raise ArchiveError(f"the archive has {len(content)} bytes, a header has {HEADER_BYTES}")
    (
        magic, version, root_offset, root_length, metadata_offset, metadata_length, leaves_offset,
        leaves_length, data_offset, data_length, tiles, entries, contents, clustered, internal,
        tile_compression, kind, min_zoom, max_zoom, *bounds, _, _, _,
    ) = _LAYOUT.unpack(content[:HEADER_BYTES])  # fmt: skip
    header = ArchiveHeader(
        root_length=root_length,
        metadata_offset=metadata_offset,
        metadata_length=metadata_length,
        leaves_offset=leaves_offset,
        leaves_length=leaves_length,
        data_length=data_length,
        tiles=tiles,
        entries=entries,
        contents=contents,
        min_zoom=min_zoom,
        max_zoom=max_zoom,
        bounds_e7=(bounds[0], bounds[1], bounds[2], bounds[3]),
    )
    expected = (b"PMTiles", 3, HEADER_BYTES, DATA_OFFSET, 1, _GZIP, _UNCOMPRESSED, _JPEG)
    if (magic, version, root_offset, data_offset, clustered, internal, tile_compression, kind) != expected:
        raise ArchiveError("the header is not one that `aerotile base seal` writes")
    if not 0 < root_length <= MOST_ROOT_BYTES:
        raise ArchiveError(f"the root directory has {root_length} bytes, {MOST_ROOT_BYTES} are allowed")
    ends = (DATA_OFFSET + data_length, leaves_offset + leaves_length, metadata_offset + metadata_length)
    if (leaves_offset, metadata_offset, archive_length) != ends:
        raise ArchiveError(f"the sections of the archive do not end with its {archive_length} bytes")
    return header
