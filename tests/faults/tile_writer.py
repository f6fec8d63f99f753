"""A process that places tiles until its power is cut.

Usage: tile_writer.py ROOT one|ahead|many|beside. Prints `path sha256` for each file that the store says is
durable.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from itertools import count
from pathlib import Path

import attrs

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.filesystem.layout import second_name, tile_path
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

THREADS = 3
TILES_PER_FOLDER = 5


def tiles(thread: int) -> Iterator[tuple[bytes, TileMetadata]]:
    chance = random.Random(thread)
    for number in count():
        folder, y = divmod(number, TILES_PER_FOLDER)
        pixels = example_jpeg(chance.randbytes(chance.choice((100, 5_000, 30_000))))
        yield (
            pixels,
            example_metadata(
                TileId(20, thread * 10_000 + folder, y, TileSource.IMPORTED),
                pixels,
                captured_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
                ground_sample_distance=0.15,
            ),
        )


def report(metadata: TileMetadata, name_of: Callable[[str, str], str] = lambda name, sha256: name) -> None:
    path, sha256 = tile_path(metadata.tile_id), metadata.content_sha256
    # One write for a line: what was said is said, whatever happens next.
    os.write(1, f"{path.folder}/{name_of(path.name, sha256)} {sha256}\n".encode())


def place_one_by_one(files: FilesystemTileFiles, thread: int) -> None:
    for pixels, metadata in tiles(thread):
        files.place(files.stage(pixels, metadata))
        report(metadata)


def place_what_was_written_ahead(files: FilesystemTileFiles, thread: int) -> None:
    for pixels, metadata in tiles(thread):
        staged = files.stage(pixels, metadata)
        files.prewrite(staged)
        files.place(staged)
        report(metadata)


def place_in_batches(files: FilesystemTileFiles, thread: int) -> None:
    coming = tiles(thread)
    for size in (1, 7, 30) * 1_000:
        batch = [next(coming) for _ in range(size)]
        for (_, metadata), failure in zip(
            batch, files.place_many([files.stage(*tile) for tile in batch]), strict=True
        ):
            if failure is None:
                report(metadata)


def newer_pixels(older: bytes) -> bytes:
    """What takes a tile's place."""
    return example_jpeg(older)


def replace_one_by_one(files: FilesystemTileFiles, thread: int) -> None:
    """Every second replacement stays beside its tile, where a commit needs it to be durable."""
    for number, (older, metadata) in enumerate(tiles(thread)):
        files.place(files.stage(older, metadata))
        pixels = newer_pixels(older)
        sha256 = hashlib.sha256(pixels).hexdigest()
        newer = attrs.evolve(metadata, content_sha256=sha256, disk_bytes=len(pixels))
        files.place_beside(files.stage(pixels, newer))
        if number % 2:
            files.take_place(newer.tile_id, sha256)
            report(newer)
        else:
            report(newer, second_name)


if __name__ == "__main__":
    place = {
        "one": place_one_by_one,
        "ahead": place_what_was_written_ahead,
        "many": place_in_batches,
        "beside": replace_one_by_one,
    }[sys.argv[2]]
    opened = FilesystemTileFiles(Path(sys.argv[1]))
    for thread in range(THREADS):
        threading.Thread(target=place, args=(opened, thread)).start()
