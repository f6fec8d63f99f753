"""Writing `tiles.pmtiles` in one pass, with little memory for each tile.

0        header, then the root directory
16,384   the tiles, in the order of their ids, equal ones once
then     leaf directories, then the metadata, with which the archive ends
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..files.file_digests import PartDigests, PartHasher
from .archive_directory import Directory, encode_directory, gzip_stored
from .archive_header import DATA_OFFSET, MOST_ROOT_BYTES, ArchiveHeader
from .archive_ids import FIRST_IDS

LEAF_ENTRIES = 4_096
MOST_LEAVES = 1_200
"""An entry of the root directory takes at most 13 bytes: so many always fit into it."""
PART_BYTES = 4 << 20
_WRITTEN_AT_ONCE = 1 << 20
_SLOT_BITS = 48
_OFFSET_MASK = (1 << _SLOT_BITS) - 1


class ArchiveWriter:
    """Writes tiles into `file`, which is empty, by ascending id. Raises `OSError`.

    Memory: 12 to 24 bytes for each of `most_repeated` contents, one leaf directory, and a few megabytes of
    tiles. `folder` holds an unnamed file.
    """

    def __init__(
        self,
        file: BinaryIO,
        most_tiles: int,
        folder: Path,
        *,
        most_repeated: int | None = None,
        leaf_entries: int = LEAF_ENTRIES,
    ) -> None:
        """`most_repeated`: the contents that are added with a digest; None: as many as `most_tiles`."""
        self._file = file
        self._hasher = PartHasher(PART_BYTES)
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="aerotile-archive")
        """Writes and hashes beside the next reads, in order."""
        self._unwritten: list[bytes] = []
        self._unwritten_bytes = 0
        self._under_way: Future[None] | None = None
        self._end = 0
        self._leaf_entries = max(leaf_entries, -(-most_tiles // MOST_LEAVES))
        self._leaf: list[tuple[int, int, int, int]] = []
        """The entries of the leaf under way: id, run, length, offset from the first tile."""
        self._leaves_length = 0
        self._roots: list[tuple[int, int, int, int]] = []
        # Open addressing by the tile's SHA-256: 16 bits of it and the offset, 0 for an empty slot.
        most_repeated = most_tiles if most_repeated is None else most_repeated
        self._slots = np.zeros(1 << max(4, (most_repeated * 3 // 2).bit_length()), np.uint64)
        self._tiles = self._entries = self._contents = 0
        self._first_id = self._last_id = 0
        self._write(bytes(DATA_OFFSET))
        self._leaves = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `finish` or `close`

    def add(self, tile_id: int, content: bytes, sha256: bytes | None) -> int:
        """Write a tile of that id, which is above every earlier one; returns its offset in the archive.

        A tile with the same bytes as an earlier one is not written again. `sha256` only finds candidates;
        None: no other tile has these bytes.
        """
        assert content
        assert tile_id > self._last_id or not self._tiles
        offset = self._append(content) if sha256 is None else self._once(content, sha256)
        if not self._tiles:
            self._first_id = tile_id
        self._tiles += 1
        self._last_id = tile_id
        self._note(tile_id, offset - DATA_OFFSET, len(content))
        return offset

    def _append(self, content: bytes) -> int:
        offset = self._end
        if offset + len(content) > _OFFSET_MASK:
            raise OSError(0, f"an archive holds at most {_OFFSET_MASK} bytes")
        self._write(content)
        self._contents += 1
        return offset

    def _once(self, content: bytes, sha256: bytes) -> int:
        slot = int.from_bytes(sha256[:8], "little") & (len(self._slots) - 1)
        tag = int.from_bytes(sha256[8:10], "little")
        while word := int(self._slots[slot]):
            offset = word & _OFFSET_MASK
            if word >> _SLOT_BITS == tag and self._read(offset, len(content)) == content:
                return offset
            slot = (slot + 1) & (len(self._slots) - 1)
        offset = self._append(content)
        self._slots[slot] = tag << _SLOT_BITS | offset
        return offset

    def finish(
        self, metadata: bytes, bounds_e7: tuple[int, int, int, int]
    ) -> tuple[ArchiveHeader, PartDigests]:
        """Write directories, `metadata` and the header; the file is not synced. Needs at least one tile."""
        data_length = self._end - DATA_OFFSET
        single = encode_directory(_directory(self._leaf)) if not self._roots else b""
        if 0 < len(single) <= MOST_ROOT_BYTES:
            root = single
            self._entries += len(self._leaf)
        else:
            self._end_leaf()
            root = encode_directory(_directory(self._roots))
        assert len(root) <= MOST_ROOT_BYTES
        leaves_offset = self._end
        self._leaves.seek(0)
        while piece := self._leaves.read(1 << 20):
            self._write(piece)
        self._leaves.close()
        frame = gzip_stored(metadata)
        header = ArchiveHeader(
            root_length=len(root),
            metadata_offset=self._end,
            metadata_length=len(frame),
            leaves_offset=leaves_offset,
            leaves_length=self._leaves_length,
            data_length=data_length,
            tiles=self._tiles,
            entries=self._entries,
            contents=self._contents,
            min_zoom=int(np.searchsorted(FIRST_IDS, self._first_id, "right")) - 1,
            max_zoom=int(np.searchsorted(FIRST_IDS, self._last_id, "right")) - 1,
            bounds_e7=bounds_e7,
        )
        self._write(frame)
        self._write_all()
        self._file.seek(0)
        self._file.write(header.encode() + root)
        self._file.flush()
        parts = list(self._hasher.digests().parts)
        first = PartHasher(PART_BYTES)  # the part that was hashed before it held the header
        first.update(os.pread(self._file.fileno(), min(PART_BYTES, self._end), 0))
        parts[0] = first.digests().parts[0]
        return header, PartDigests(tuple(parts), PART_BYTES)

    def close(self) -> None:
        """Give up, or end the thread after `finish`."""
        self._writing.shutdown()
        self._leaves.close()

    def _note(self, tile_id: int, offset: int, length: int) -> None:
        if self._leaf:
            first, run, *content = self._leaf[-1]
            if first + run == tile_id and content == [length, offset]:
                self._leaf[-1] = (first, run + 1, length, offset)
                return
        if len(self._leaf) == self._leaf_entries:
            self._end_leaf()
        self._leaf.append((tile_id, 1, length, offset))

    def _end_leaf(self) -> None:
        frame = encode_directory(_directory(self._leaf))
        self._roots.append((self._leaf[0][0], 0, len(frame), self._leaves_length))
        self._leaves.write(frame)
        self._leaves_length += len(frame)
        self._entries += len(self._leaf)
        self._leaf = []

    def _write(self, content: bytes) -> None:
        self._end += len(content)
        self._unwritten.append(content)
        self._unwritten_bytes += len(content)
        if self._unwritten_bytes >= _WRITTEN_AT_ONCE:
            self._hand_over()

    def _hand_over(self) -> None:
        """Have the other thread write and hash what is at hand, once it is done with what it has."""
        self._wait()
        self._under_way = self._writing.submit(self._store, self._unwritten)
        self._unwritten, self._unwritten_bytes = [], 0

    def _store(self, contents: list[bytes]) -> None:
        whole = b"".join(contents)
        begin = self._file.tell()
        self._file.write(whole)
        self._file.flush()
        # The disk begins now, not at the sync in the end.
        os.posix_fadvise(self._file.fileno(), begin, len(whole), os.POSIX_FADV_DONTNEED)
        self._hasher.update(whole)

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _write_all(self) -> None:
        if self._unwritten:
            self._hand_over()
        self._wait()

    def _read(self, offset: int, length: int) -> bytes:
        self._write_all()
        return os.pread(self._file.fileno(), length, offset)


def _directory(entries: list[tuple[int, int, int, int]]) -> Directory:
    columns = np.array(entries, np.uint64).T
    return Directory(*(np.ascontiguousarray(column) for column in columns))
