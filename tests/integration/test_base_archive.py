"""`tiles.pmtiles`: other programs read the same bytes from it, and no hostile directory is believed."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import tileid_to_zxy, zxy_to_tileid

from aerotile.adapters.files.file_digests import PartDigests
from aerotile.adapters.pmtiles.archive_directory import (
    ArchiveError,
    Directory,
    decode_directory,
    encode_directory,
    gunzip,
    gzip_stored,
)
from aerotile.adapters.pmtiles.archive_header import HEADER_BYTES, MOST_ROOT_BYTES, decode_header
from aerotile.adapters.pmtiles.archive_ids import archive_ids, archive_ids_of_keys
from aerotile.adapters.pmtiles.archive_writer import ArchiveWriter
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource

BOUNDS = (-1_800_000_000, -850_000_000, 1_800_000_000, 850_000_000)


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, int]:
    zoom = draw(st.integers(0, 22))
    most = (1 << zoom) - 1
    return zoom, draw(st.integers(0, most)), draw(st.integers(0, most))


def written(folder: Path, tiles: dict[int, bytes], **settings: Any) -> tuple[Path, PartDigests]:
    path = folder / "a.pmtiles"
    with path.open("w+b") as file:
        writer = ArchiveWriter(file, len(tiles), folder, **settings)
        for tile_id in sorted(tiles):
            writer.add(tile_id, tiles[tile_id], hashlib.sha256(tiles[tile_id]).digest())
        header, digests = writer.finish(b'{"name": "a base"}', BOUNDS)
    assert header.archive_length == path.stat().st_size
    return path, digests


def read_by_others(path: Path) -> dict[int, bytes]:
    with path.open("rb") as file:
        return {zxy_to_tileid(*place): content for place, content in all_tiles(MmapSource(file))}


@given(st.lists(places(), min_size=1))
def test_ids_are_those_of_the_format(tiles: list[tuple[int, int, int]]) -> None:
    zooms, x, y = np.array(tiles, np.int64).T
    expected = [zxy_to_tileid(*place) for place in tiles]
    assert archive_ids(zooms, x, y).tolist() == expected
    keys = [encode_tile_key(TileId(*place, TileSource.IMPORTED), VariantTable()) for place in tiles]
    assert archive_ids_of_keys(np.array(keys, np.int64)).tolist() == expected


@given(
    st.dictionaries(st.integers(0, 5000), st.integers(0, 6), min_size=1, max_size=300),
    st.integers(1, 40),
)
def test_other_programs_read_the_same_bytes_for_every_tile(
    tmp_path_factory: pytest.TempPathFactory, kinds: dict[int, int], leaf_entries: int
) -> None:
    tiles = {tile_id: bytes([65 + kind]) * (kind + 1) for tile_id, kind in kinds.items()}
    path, _ = written(tmp_path_factory.mktemp("a"), tiles, leaf_entries=leaf_entries)
    assert read_by_others(path) == tiles
    with path.open("rb") as file:
        reader = Reader(MmapSource(file))
        header = reader.header()
        for tile_id in range(0, 5001, 97):
            assert reader.get(*tileid_to_zxy(tile_id)) == tiles.get(tile_id)
        assert reader.metadata() == {"name": "a base"}
    assert header["tile_contents_count"] == len(set(tiles.values()))
    assert header["addressed_tiles_count"] == len(tiles)
    assert header["tile_data_length"] == sum(map(len, set(tiles.values())))
    assert header["clustered"]


def test_thousands_of_leaves_fit_below_the_root(tmp_path: Path) -> None:
    # Ids far apart, so that an entry of the root directory takes as much as it can.
    tiles = {(1 << 43) + number * (1 << 29): struct.pack("<I", number) for number in range(5000)}
    path, _ = written(tmp_path, tiles, leaf_entries=1)
    content = path.read_bytes()
    header = decode_header(content, len(content))
    assert 900 <= len(decode_directory(content[HEADER_BYTES:][: header.root_length], 1 << 20)) <= 1200
    assert header.root_length <= MOST_ROOT_BYTES
    assert read_by_others(path) == tiles


def test_tiles_are_told_apart_by_their_bytes_and_not_by_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.pmtiles"
    with path.open("w+b") as file:
        writer = ArchiveWriter(file, 4, tmp_path)
        offsets = [writer.add(n, content, bytes(32)) for n, content in enumerate([b"aa", b"ab", b"aa", b"b"])]
        header, _ = writer.finish(b"{}", BOUNDS)
    assert offsets[0] == offsets[2]
    assert len(set(offsets)) == header.contents == 3
    assert read_by_others(path) == {0: b"aa", 1: b"ab", 2: b"aa", 3: b"b"}


def test_contents_without_a_twin_take_no_room_in_the_table(tmp_path: Path) -> None:
    path, shared = tmp_path / "a.pmtiles", hashlib.sha256(b"shared").digest()
    tiles = {number: b"%d" % number for number in range(1000)} | {1000: b"shared", 1001: b"shared"}
    with (
        path.open("w+b") as file,
        closing(ArchiveWriter(file, len(tiles), tmp_path, most_repeated=1)) as writer,
    ):
        for number, content in tiles.items():
            writer.add(number, content, shared if content == b"shared" else None)
        header, _ = writer.finish(b"{}", BOUNDS)
    assert header.contents == 1001
    assert read_by_others(path) == tiles


@pytest.mark.parametrize(
    "call",
    [lambda writer: writer.add(1, b"1" * (1 << 20), b"1" * 32), lambda writer: writer.finish(b"{}", BOUNDS)],
    ids=["add", "finish"],
)
def test_a_full_disk_is_an_error_of_the_caller_and_ends_the_thread(
    tmp_path: Path, call: Callable[[ArchiveWriter], object]
) -> None:
    others = set(threading.enumerate())
    with (
        Path("/dev/full").open("r+b", buffering=0) as file,
        closing(ArchiveWriter(cast("BinaryIO", file), 4, tmp_path)) as writer,
    ):
        writer.add(0, bytes(1 << 20), bytes(32))
        with pytest.raises(OSError, match="No space left"):
            call(writer)
    assert [each for each in set(threading.enumerate()) - others if "archive" in each.name] == []


def test_the_digests_are_those_of_the_parts_of_the_finished_file(tmp_path: Path) -> None:
    tiles = {number: number.to_bytes(4, "big") * 50_000 for number in range(60)}
    path, digests = written(tmp_path, tiles)
    content = path.read_bytes()
    starts = range(0, len(content), digests.part_bytes)
    assert len(starts) > 2
    assert digests.parts == tuple(
        hashlib.sha256(content[start : start + digests.part_bytes]).hexdigest() for start in starts
    )
    assert digests.root == hashlib.sha256(b"".join(map(bytes.fromhex, digests.parts))).hexdigest()


@given(st.binary(max_size=200_000))
def test_a_frame_of_stored_blocks_is_one_that_gzip_reads(content: bytes) -> None:
    frame = gzip_stored(content)
    assert gzip.decompress(frame) == content == gunzip(frame, len(content) + 1)
    assert len(frame) <= len(content) + 18 + 5 * (len(content) // 65_535 + 1)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_directory_or_refused(content: bytes) -> None:
    for frame in (content, gzip_stored(content)):
        try:
            directory = decode_directory(frame, 1000)
        except ArchiveError:
            continue
        assert encode_directory(directory)
        assert (np.diff(directory.ids.astype(np.int64)) > 0).all()


def varints(*numbers: int) -> bytes:
    out = bytearray()
    for number in numbers:
        rest = number
        while rest >= 0x80:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return bytes(out)


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ([0], "0 entries"),
        ([2, 1, 1, 1, 1], "2 entries holds 5 numbers"),
        ([1 << 40, 1, 1, 1, 1], "entries holds 5 numbers"),
        ([1, 1 << 60, 1, 1, 1], "beyond any grid"),
        ([1, 1, 1, 1 << 62, 1], "beyond any grid"),
        ([1, 1, 1, 0, 1], "no length"),
        ([1, 1, 1, 1, 0], "no offset"),
        ([2, 1, 0, 1, 1, 1, 1, 1, 0], "id of the entry before"),
        ([2, 1, 1, 5, 1, 1, 1, 1, 0], "reaches into the next"),
    ],
)
def test_impossible_numbers_of_a_directory_are_refused(numbers: list[int], reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        decode_directory(gzip_stored(varints(*numbers)), 1000)


def test_a_directory_that_grows_without_end_is_refused() -> None:
    with pytest.raises(ArchiveError, match="too much"):
        decode_directory(gzip.compress(bytes(10_000_000)), 1000)
    with pytest.raises(ArchiveError, match="within a number"):
        decode_directory(gzip_stored(b"\x80"), 1000)
    with pytest.raises(ArchiveError, match="63 bits"):
        decode_directory(gzip_stored(b"\xff" * 10 + b"\x01"), 1000)


@given(
    st.lists(
        st.tuples(st.integers(1, 1 << 20), st.integers(1, 1 << 20), st.integers(0, 1 << 40)),
        min_size=1,
        max_size=60,
    )
)
def test_a_directory_comes_back_as_it_was_written(entries: list[tuple[int, int, int]]) -> None:
    steps, lengths, offsets = np.array(entries, np.uint64).T
    ids = np.cumsum(steps, dtype=np.uint64)
    directory = Directory(ids, np.ones(len(ids), np.uint64), lengths.copy(), offsets.copy())
    again = decode_directory(encode_directory(directory), 1 << 20)
    for name in ("ids", "runs", "lengths", "offsets"):
        assert getattr(again, name).tolist() == getattr(directory, name).tolist()


@pytest.mark.parametrize(
    "damage",
    [
        lambda header: header[:50],
        lambda header: b"PNG" + header[3:],
        lambda header: header[:7] + b"\x02" + header[8:],
        lambda header: header[:16] + struct.pack("<Q", 1 << 40) + header[24:],
        lambda header: header[:16] + struct.pack("<Q", 0) + header[24:],
        lambda header: header[:24] + struct.pack("<Q", 7) + header[32:],
        lambda header: header[:48] + struct.pack("<Q", (1 << 64) - 1) + header[56:],
        lambda header: header[:64] + struct.pack("<Q", 1) + header[72:],
        lambda header: header[:99] + b"\x02" + header[100:],
    ],
)
def test_a_header_with_an_impossible_number_is_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path, _ = written(tmp_path, {5: b"five"})
    content = path.read_bytes()
    assert decode_header(content, len(content)).tiles == 1
    with pytest.raises(ArchiveError):
        decode_header(damage(content[:HEADER_BYTES]), len(content))
    for length in (len(content) - 1, len(content) + 1):
        with pytest.raises(ArchiveError, match="do not end with"):
            decode_header(content, length)
