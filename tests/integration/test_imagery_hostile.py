"""Damaged archives: whatever the bytes are, a reader refuses in one line or reads on."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from archives import Place, picture, write_mbtiles, write_pmtiles

from aerotile.adapters.composition.imagery_parts import open_imagery_source
from aerotile.adapters.imagery.pmtiles import PmtilesArchive
from aerotile.adapters.pmtiles.archive_directory import Directory, encode_directory, gzip_stored
from aerotile.adapters.simplejpeg.pictures import TilePictureCodec
from aerotile.domain.errors import ImagerySourceError
from aerotile.domain.intake.mosaic import Mosaic

TILES: dict[Place, bytes] = {
    (12, 2177 + x, 1420 + y): picture(10 * x + y, "PNG" if (x + y) % 3 else "JPEG")
    for x in range(3)
    for y in range(3)
}
FACTS = {"name": "of a test", "bounds": "11,48,12,49"}
MUTATIONS = 120


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, cut out, put in, or cut off; most often near the begin."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        end = min(len(changed), rng.choice([200, 700, 4_096, 20_000, len(content)]))
        position = rng.randrange(end)
        kind = rng.randrange(5)
        if kind == 0:
            del changed[position : position + rng.randrange(1, 64)]
        elif kind == 1:
            changed[position:position] = rng.randbytes(rng.randrange(1, 32))
        elif kind == 2:
            changed[position : position + 8] = rng.choice([b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7])
        elif kind == 3 and rng.random() < 0.2:
            del changed[position:]
        else:
            changed[position] = rng.randrange(256)
        changed = changed or bytearray(b"\0")
    return bytes(changed)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_mbtiles(path, TILES, FACTS),
        lambda path: write_mbtiles(path, TILES, FACTS, deduplicated=True),
        lambda path: write_pmtiles(path, TILES),
    ],
    ids=["mbtiles", "map and images", "pmtiles"],
)
def test_damaged_archives_are_refused_or_read(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    rng = random.Random(16)
    content = write(tmp_path / "whole").read_bytes()
    refusals: list[str] = []
    for _ in range(MUTATIONS):
        path = tmp_path / "damaged"
        path.write_bytes(mutated(content, rng))
        try:
            with open_imagery_source(str(path), tile_size=256) as source:
                mosaic = Mosaic.of([source], TilePictureCodec(256))
                mosaic.estimate()
                for block in mosaic.blocks():
                    for one in mosaic.read(block):
                        assert one.place in block.places
        except ImagerySourceError as refusal:
            refusals.append(str(refusal))
    assert 0 < len(refusals) < MUTATIONS
    assert [text for text in refusals if "\n" in text] == []
    assert {text for text in refusals if "damaged" not in text} <= {
        "no source has a tile of the area at zoom 12"
    }


def test_a_name_in_a_schema_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = write_mbtiles(tmp_path / "o.mbtiles", TILES)
    content = path.read_bytes()
    assert b"indextiletiles" in content
    content = content.replace(b"indextiletiles", b"index\xce\xff\xfeetiles")
    path.write_bytes(content.replace(b"CREATE UNIQUE INDEX", b"CREATE UNIQUE INDEY"))
    with pytest.raises(ImagerySourceError, match=r"o\.mbtiles can't be read") as refusal:
        open_imagery_source(str(path), tile_size=256)
    assert "\n" not in str(refusal.value)


def archive_of(root: Directory, leaves: Sequence[Directory] = (), data: bytes = b"\0") -> bytes:
    """A PMTiles file with these directories and this section of tiles."""
    parts = [encode_directory(root), gzip_stored(b"{}"), b"".join(map(encode_directory, leaves)), data]
    offsets = [127 + sum(map(len, parts[:number])) for number in range(4)]
    sections = [number for pair in zip(offsets, map(len, parts), strict=True) for number in pair]
    header = struct.pack("<7sB11Q4B", b"PMTiles", 3, *sections, 0, 0, 0, 1, 2, 1, 2)
    return header.ljust(127, b"\0") + b"".join(parts)


def entries(first: int, count: int, run: int) -> Directory:
    """So many runs behind each other, each of the first byte."""
    ids = np.arange(count, dtype=np.uint64) * np.uint64(run) + np.uint64(first)
    ones, zeros = np.ones(count, np.uint64), np.zeros(count, np.uint64)
    return Directory(ids, ones * np.uint64(run), ones, zeros)


def many_runs() -> bytes:
    return archive_of(entries(0, 30_000, 64))


def many_leaves() -> bytes:
    leaves = [entries(number << 16, 1 << 16, 1) for number in range(16)]
    lengths = np.array([len(encode_directory(leaf)) for leaf in leaves], np.uint64)
    ids, zeros = np.arange(16, dtype=np.uint64) << np.uint64(16), np.zeros(16, np.uint64)
    return archive_of(Directory(ids, zeros, lengths, np.cumsum(lengths) - lengths), leaves)


@pytest.mark.parametrize("make", [many_runs, many_leaves])
def test_the_memory_for_an_archive_does_not_grow_with_the_tiles_that_it_names(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    path = tmp_path / "large.pmtiles"
    path.write_bytes(make())
    tracemalloc.start()
    try:
        archive = PmtilesArchive(path)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    with closing(archive):
        assert sum((one.max_x - one.min_x + 1) ** 2 for one in archive.extents.values()) > 1_000_000
        assert kept < 16 << 20
        assert peak < 64 << 20


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_small_archive_of_one_picture_at_every_place_is_read_in_bounded_memory(
    tmp_path: Path, kind: str
) -> None:
    data = picture(7, kind) + bytes(2 << 20)
    root = Directory(*(np.array([number], np.uint64) for number in (0, 341, len(data), 0)))
    path = tmp_path / "small.pmtiles"
    path.write_bytes(archive_of(root, data=data))
    with open_imagery_source(str(path), tile_size=256) as source:
        mosaic = Mosaic.of([source], TilePictureCodec(256))
        (block,) = mosaic.blocks()
        tracemalloc.start()
        try:
            read = list(mosaic.read(block))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 64 << 20
    faults = [fault for one in read for _, fault in one.faults]
    assert (len(faults), {fault.kind for fault in faults}) == (341, {f"a {kind} of too many bytes"})
    assert f"0/0/0 is a {kind} of {len(data)} bytes, and 589824 are the most for its pixels" in str(faults[0])


def test_noise_at_the_best_quality_is_no_picture_of_too_many_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 2, (256, 256, 3)).astype(np.uint8) * 255
    jpeg = simplejpeg.encode_jpeg(noise, 100, "RGB", "444")
    path = write_pmtiles(tmp_path / "noise.pmtiles", {(0, 0, 0): jpeg})
    with open_imagery_source(str(path), tile_size=256) as source:
        mosaic = Mosaic.of([source], TilePictureCodec(256))
        (block,) = mosaic.blocks()
        (read,) = mosaic.read(block)
    assert read.tile is not None
    assert read.tile.pixels == jpeg
