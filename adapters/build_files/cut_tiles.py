"""The tiles of blocks: their rows and JPEG bytes in one file a block, and all of them for the seal."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ...domain.build_blocks import BlockFile, ordered_runs
from ...domain.errors import TileNotFoundError
from ...domain.intake.cut_block import CutTiles
from ...domain.values.recall_list import RecallList
from ...domain.values.tile_grid import ground_sample_distance
from ...domain.values.tile_key import VariantTable, decode_tile_key, encode_tile_key
from ...domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent
from ...domain.values.timestamps import microseconds_of, timestamp_of
from .block_file import Array, OpenBlock, open_block

ROW = np.dtype(
    [("key", "<i8"), ("captured_us", "<i8"), ("begin", "<u8"), ("length", "<u4"), ("sha256", "V32")]
)
_VARIANTS = VariantTable()
"""Tiles of a build are made by no flight."""
_OPEN_BLOCKS = 64


def encode_tiles(cut: CutTiles) -> tuple[dict[str, Any], dict[str, Array]]:
    """Facts and arrays of the file of a block, in the order of tile keys."""
    rows = np.zeros(len(cut.tiles), ROW)
    keyed = [(encode_tile_key(facts.tile_id, _VARIANTS), pixels, facts) for pixels, facts in cut.tiles]
    in_order = sorted(keyed, key=lambda each: each[0])
    begin = 0
    for number, (key, pixels, facts) in enumerate(in_order):
        sha256 = bytes.fromhex(facts.content_sha256)
        rows[number] = (key, microseconds_of(facts.captured_at), begin, len(pixels), sha256)
        begin += len(pixels)
    joined = np.frombuffer(b"".join(pixels for _, pixels, _ in in_order), np.uint8)
    refusals = [attrs.asdict(refusal) for refusal in cut.refusals]
    return {"counts": dict(cut.counts), "refusals": refusals}, {"rows": rows, "pixels": joined}


def tile_bytes(block: OpenBlock, row: Array) -> bytes:
    """The JPEG of a row; the caller compares its SHA-256."""
    begin, length = int(row["begin"]), int(row["length"])
    return block.unchecked("pixels")[begin : begin + length].tobytes()


class TilesOfBlocks:
    """All tiles of a build, read where they lie. Memory: 100 bytes a run, and 64 mapped files."""

    def __init__(self, files: Sequence[BlockFile], *, tile_size_pixels: int, dataset: str | None) -> None:
        """Raises `BaseSealError` for files that share a place."""
        self._files = files
        self._tile_size_pixels, self._dataset = tile_size_pixels, dataset
        runs = ordered_runs(files)
        self._firsts = [run.first for _, run in runs]
        self._of_run = [file for file, _ in runs]
        self._opened: OrderedDict[str, OpenBlock] = OrderedDict()

    def rows(self) -> Iterator[TileMetadataPersistent]:
        """The facts of each tile. Raises `BaseSealError` for a damaged file, `OSError`."""
        size, dataset = self._tile_size_pixels, self._dataset
        for file in self._files:
            found = open_block(Path(file.path), file.digest).array("rows")
            for row in found:
                tile_id = decode_tile_key(int(row["key"]), _VARIANTS)
                captured_at = timestamp_of(int(row["captured_us"]))
                facts = TileMetadata(
                    tile_id=tile_id,
                    captured_at=captured_at,
                    content_sha256=row["sha256"].tobytes().hex(),
                    disk_bytes=int(row["length"]),
                    tile_size_pixels=size,
                    ground_sample_distance=ground_sample_distance(
                        tile_id.centre[0], tile_id.zoom_level, size
                    ),
                    dataset=dataset,
                )
                yield TileMetadataPersistent.of(facts, created_at=captured_at)

    def latest_capture_us(self) -> int:
        """Of all tiles. Raises as `rows`."""
        return max(
            int(open_block(Path(file.path), file.digest).array("rows")["captured_us"].max())
            for file in self._files
        )

    def recalled_keys(self, recalls: RecallList) -> tuple[int, ...]:
        """The keys of the tiles that a list names, ascending. Raises as `rows`."""
        return tuple(
            sorted(
                encode_tile_key(row.tile_id, _VARIANTS)
                for row in self.rows()
                if recalls.entry_for_tile(row) is not None
            )
        )

    def read(self, tile_id: TileId) -> bytes:
        """The JPEG of a tile; the caller compares its SHA-256. Raises `TileNotFoundError`, `OSError`."""
        key = encode_tile_key(tile_id, _VARIANTS)
        position = bisect_right(self._firsts, key) - 1
        if position >= 0:
            block = self._block(self._of_run[position])
            rows = block.array("rows")
            number = int(np.searchsorted(rows["key"], key))
            if number < len(rows) and rows["key"][number] == key:
                return tile_bytes(block, rows[number])
        raise TileNotFoundError(tile_id)

    def _block(self, file: BlockFile) -> OpenBlock:
        opened = self._opened.pop(file.path, None) or open_block(Path(file.path), file.digest)
        self._opened[file.path] = opened
        if len(self._opened) > _OPEN_BLOCKS:
            self._opened.popitem(last=False)
        return opened
