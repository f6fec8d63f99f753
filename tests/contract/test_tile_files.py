"""The contract of `TileFiles`, held by every implementation."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.domain.errors import (
    ContentHashMismatchError,
    TileCacheError,
    TileMetadataError,
    TileNotFoundError,
)
from aerotile.domain.inventory import FoundFile, FoundKind
from aerotile.domain.storage import StagedTile, TileFiles
from aerotile.domain.tiles import TileId, TileMetadata, TileSource

FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
TILE = TileId(18, 152345, 90123, TileSource.IMPORTED)
NEIGHBOUR = TileId(18, 152345, 90124, TileSource.IMPORTED)
ONBOARD = TileId(18, 152345, 90123, TileSource.ONBOARD, FLIGHT)


def jpeg(content: bytes = b"ground") -> bytes:
    return b"\xff\xd8\xff\xe0" + content + b"\xff\xd9"


def metadata(pixels: bytes, tile_id: TileId = TILE, **changes: object) -> TileMetadata:
    facts: dict[str, object] = {
        "tile_id": tile_id,
        "captured_at": datetime(2024, 5, 1, tzinfo=timezone.utc),
        "content_sha256": hashlib.sha256(pixels).hexdigest(),
        "disk_bytes": len(pixels),
        "ground_sample_distance": 0.6,
    }
    return TileMetadata(**(facts | changes))  # type: ignore[arg-type]  # facts by name


def place(files: TileFiles, pixels: bytes, tile_id: TileId = TILE) -> None:
    files.stage(pixels, metadata(pixels, tile_id)).place()


def read(files: TileFiles, tile_id: TileId = TILE) -> bytes:
    with files.open(tile_id) as handle, memoryview(handle) as view:
        return bytes(view)


@pytest.fixture(params=["filesystem", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TileFiles]:
    if request.param == "memory":
        yield MemoryTileFiles()
    else:
        with FilesystemTileFiles(tmp_path / "tiles") as files:
            yield files


def test_a_wrong_length_is_refused_before_anything_happens(files: TileFiles) -> None:
    pixels = jpeg()
    with pytest.raises(ContentHashMismatchError) as caught:
        files.stage(pixels, metadata(pixels, disk_bytes=len(pixels) + 1))
    assert (caught.value.what, caught.value.expected, caught.value.actual, caught.value.tile_id) == (
        "length",
        len(pixels) + 1,
        len(pixels),
        TILE,
    )
    assert list(files.inventory()) == []


def test_a_wrong_hash_is_refused_before_anything_happens(files: TileFiles) -> None:
    pixels, promised = jpeg(b"aa"), jpeg(b"bb")
    with pytest.raises(ContentHashMismatchError) as caught:
        files.stage(pixels, metadata(promised))
    assert caught.value.what == "SHA-256"
    assert caught.value.actual == hashlib.sha256(pixels).hexdigest()
    assert list(files.inventory()) == []


@pytest.mark.parametrize(
    "pixels",
    [b"\x89PNG\r\n\x1a\n\xff\xd9", jpeg()[:-1], jpeg()[:-2], jpeg() + b"\0", b"\xff", b"\xff\xd9"],
    ids=["png", "half end marker", "no end marker", "trailing byte", "one byte", "end marker alone"],
)
def test_bytes_that_are_no_whole_jpeg_are_refused_before_anything_happens(
    files: TileFiles, pixels: bytes
) -> None:
    with pytest.raises(TileMetadataError, match="no JPEG") as caught:
        files.stage(pixels, metadata(pixels))
    assert caught.value.tile_id == TILE
    assert list(files.inventory()) == []


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_only_bytes_are_staged_because_others_can_change_meanwhile(files: TileFiles, kind: type) -> None:
    pixels = jpeg()
    with pytest.raises(TypeError):
        files.stage(kind(pixels), metadata(pixels))


def test_nothing_is_there_until_the_tile_is_placed(files: TileFiles) -> None:
    pixels = jpeg()
    staged = files.stage(pixels, metadata(pixels))
    assert not files.exists(TILE)
    assert list(files.inventory()) == []
    staged.place()
    assert files.exists(TILE)


def test_what_is_written_ahead_is_not_there_until_it_is_placed(files: TileFiles) -> None:
    place(files, jpeg(), NEIGHBOUR)  # the folder is there
    pixels = jpeg(b"ahead" * 10_000)
    staged = files.stage(pixels, metadata(pixels))
    staged.write_ahead()
    assert not files.exists(TILE)
    assert {found.tile_id for found in files.inventory()} == {NEIGHBOUR}
    staged.place()
    assert read(files) == pixels
    assert files.sidecar_sha256(TILE) == hashlib.sha256(pixels).hexdigest()


def test_what_was_written_ahead_and_withdrawn_is_gone_and_can_be_placed_later(files: TileFiles) -> None:
    place(files, jpeg(), NEIGHBOUR)
    staged = files.stage(jpeg(), metadata(jpeg()))
    staged.write_ahead()
    staged.withdraw()
    assert {found.tile_id for found in files.inventory()} == {NEIGHBOUR}
    staged.place()
    assert read(files) == jpeg()
    staged.withdraw()
    assert {found.tile_id for found in files.inventory()} == {NEIGHBOUR}


def test_what_was_written_ahead_takes_the_place_of_an_orphan(files: TileFiles) -> None:
    place(files, jpeg(b"orphan"))
    staged = files.stage(jpeg(), metadata(jpeg()))
    staged.write_ahead()
    assert read(files) == jpeg(b"orphan")
    staged.place()
    assert read(files) == jpeg()
    assert files.sidecar_sha256(TILE) == hashlib.sha256(jpeg()).hexdigest()
    assert {found.kind for found in files.inventory()} <= {FoundKind.TILE, FoundKind.SIDECAR}


def test_a_placed_tile_reads_back_byte_identical(files: TileFiles) -> None:
    pixels = jpeg(bytes(range(256)) * 100)
    place(files, pixels)
    assert read(files) == pixels
    assert files.read(TILE) == files.read(TILE, 60.0) == files.read(TILE, 0) == pixels
    with files.open(TILE, 0) as handle:
        assert bytes(memoryview(handle)) == pixels
    assert files.content_sha256(TILE) == hashlib.sha256(pixels).hexdigest()


def test_placing_writes_the_sidecar_too(files: TileFiles) -> None:
    place(files, jpeg())
    assert files.sidecar_sha256(TILE) == hashlib.sha256(jpeg()).hexdigest()


def test_placing_replaces_an_orphan_left_by_a_crash(files: TileFiles) -> None:
    place(files, jpeg(b"orphan"))
    place(files, jpeg(b"new"))
    assert read(files) == jpeg(b"new")
    assert files.sidecar_sha256(TILE) == hashlib.sha256(jpeg(b"new")).hexdigest()


def test_withdrawing_removes_file_and_sidecar(files: TileFiles) -> None:
    staged = files.stage(jpeg(), metadata(jpeg()))
    staged.place()
    staged.withdraw()
    assert not files.exists(TILE)
    assert list(files.inventory()) == []


def test_withdrawing_leaves_a_replacement_alone_even_with_the_same_content(files: TileFiles) -> None:
    pixels = jpeg()
    first = files.stage(pixels, metadata(pixels))
    first.place()
    place(files, pixels)
    first.withdraw()
    assert read(files) == pixels
    assert files.sidecar_sha256(TILE) is not None


def test_withdrawing_what_was_never_placed_does_nothing(files: TileFiles) -> None:
    place(files, jpeg(b"other"))
    files.stage(jpeg(), metadata(jpeg())).withdraw()
    assert read(files) == jpeg(b"other")


def test_a_withdrawn_tile_can_be_placed_again(files: TileFiles) -> None:
    staged = files.stage(jpeg(), metadata(jpeg()))
    staged.place()
    staged.withdraw()
    staged.withdraw()
    staged.place()
    assert read(files) == jpeg()


def test_a_batch_is_placed_whole(files: TileFiles) -> None:
    contents = {tile_id: jpeg(str(tile_id).encode()) for tile_id in (TILE, NEIGHBOUR, ONBOARD)}
    staged = [files.stage(pixels, metadata(pixels, tile_id)) for tile_id, pixels in contents.items()]
    assert files.place_many(staged) == [None, None, None]
    assert {tile_id: read(files, tile_id) for tile_id in contents} == contents
    assert all(
        files.sidecar_sha256(tile_id) == hashlib.sha256(p).hexdigest() for tile_id, p in contents.items()
    )


def test_a_batch_is_staged_in_order_and_says_of_each_tile_why_it_is_refused(files: TileFiles) -> None:
    tiles = [(jpeg(b"%d" % y), TileId(9, 1, y, TileSource.IMPORTED)) for y in range(40)]
    batch = [(pixels, metadata(pixels, tile_id)) for pixels, tile_id in tiles]
    batch[7] = (jpeg(b"other"), batch[7][1])
    batch[23] = (b"GIF89a", metadata(b"GIF89a", tiles[23][1]))
    staged = files.stage_many(batch)
    assert isinstance(staged[7], ContentHashMismatchError)
    assert isinstance(staged[23], TileMetadataError)
    assert list(files.inventory()) == []
    good = [
        (tile, one) for tile, one in zip(tiles, staged, strict=True) if not isinstance(one, TileCacheError)
    ]
    assert len(good) == 38
    assert files.place_many([one for _, one in good]) == [None] * 38
    assert all(read(files, tile_id) == pixels for (pixels, tile_id), _ in good)


def test_a_batch_of_anything_but_bytes_is_not_staged(files: TileFiles) -> None:
    pixels = jpeg()
    with pytest.raises(TypeError):
        files.stage_many([(bytearray(pixels), metadata(pixels))] * 20)  # type: ignore[list-item]  # refused


def test_an_empty_batch_is_no_work(files: TileFiles) -> None:
    assert files.stage_many([]) == []
    assert files.place_many([]) == []


def batch_of(files: TileFiles, count: int) -> dict[TileId, StagedTile]:
    contents = {TileId(9, y % 3, y, TileSource.IMPORTED): jpeg(b"%d" % y) for y in range(count)}
    return {tile_id: files.stage(p, metadata(p, tile_id)) for tile_id, p in contents.items()}


@pytest.mark.parametrize("count", [3, 40])
def test_a_batch_that_is_written_ahead_is_there_once_it_is_placed(files: TileFiles, count: int) -> None:
    batch = batch_of(files, count)
    with files.writing_ahead(list(batch.values())) as write_ahead:
        write_ahead()
        assert not any(files.exists(tile_id) for tile_id in batch)
        assert files.place_many(list(batch.values())) == [None] * count
    assert all(read(files, tile_id) == jpeg(b"%d" % tile_id.y) for tile_id in batch)
    assert all(files.sidecar_sha256(tile_id) for tile_id in batch)
    assert {found.kind for found in files.inventory()} == {FoundKind.TILE, FoundKind.SIDECAR}


def test_what_is_written_ahead_and_not_placed_is_gone(files: TileFiles) -> None:
    place(files, jpeg(b"first"), TileId(9, 0, 0, TileSource.IMPORTED))
    batch = batch_of(files, 40)
    with files.writing_ahead(list(batch.values())) as write_ahead:
        write_ahead()
        assert files.place_many(list(batch.values())[:30:2]) == [None] * 15
    placed = {tile_id for tile_id in batch if tile_id.y in range(0, 30, 2)}
    assert {found.tile_id for found in files.inventory()} == placed
    assert {found.kind for found in files.inventory()} == {FoundKind.TILE, FoundKind.SIDECAR}


def test_what_nobody_wrote_ahead_is_placed_with_what_was(files: TileFiles) -> None:
    batch = list(batch_of(files, 60).values())
    with files.writing_ahead(batch[20:]) as write_ahead:
        write_ahead()
        assert files.place_many(batch) == [None] * 60
    with files.writing_ahead(batch):
        pass


def test_a_batch_that_was_written_ahead_in_vain_is_written_again(files: TileFiles) -> None:
    batch = batch_of(files, 40)
    with files.writing_ahead(list(batch.values())) as write_ahead:
        write_ahead()
    assert list(files.inventory()) == []
    with files.writing_ahead(list(batch.values())) as write_ahead:
        write_ahead()
        assert files.place_many(list(batch.values())) == [None] * 40
    assert all(files.exists(tile_id) for tile_id in batch)


def test_tiles_of_a_batch_can_be_withdrawn_and_placed_again(files: TileFiles) -> None:
    staged = [files.stage(jpeg(), metadata(jpeg(), tile_id)) for tile_id in (TILE, NEIGHBOUR)]
    files.place_many(staged)
    for tile in staged:
        tile.withdraw()
    assert list(files.inventory()) == []
    assert files.place_many(staged) == [None, None]
    assert files.exists(TILE)


def test_a_missing_tile_is_not_found(files: TileFiles) -> None:
    assert not files.exists(TILE)
    assert files.sidecar_sha256(TILE) is None
    with pytest.raises(TileNotFoundError):
        files.open(TILE)
    for timeout_s in (None, 0, 60.0):
        with pytest.raises(TileNotFoundError):
            files.open(TILE, timeout_s)
        with pytest.raises(TileNotFoundError):
            files.read(TILE, timeout_s)
    with pytest.raises(TileNotFoundError):
        files.content_sha256(TILE)


def test_removing_says_whether_the_file_was_there(files: TileFiles) -> None:
    place(files, jpeg())
    assert files.remove(TILE) is True
    assert files.remove(TILE) is False
    assert not files.exists(TILE)
    assert list(files.inventory()) == []


def test_a_handle_opened_before_the_removal_stays_readable(files: TileFiles) -> None:
    pixels = jpeg(b"still here")
    place(files, pixels)
    with files.open(TILE) as handle:
        files.remove(TILE)
        with memoryview(handle) as view:
            assert bytes(view) == pixels


def test_a_handle_opened_before_a_replacement_keeps_the_old_bytes(files: TileFiles) -> None:
    place(files, jpeg(b"old"))
    with files.open(TILE) as handle:
        place(files, jpeg(b"new"))
        with memoryview(handle) as view:
            assert bytes(view) == jpeg(b"old")


def test_the_inventory_holds_every_tile_and_sidecar(files: TileFiles) -> None:
    for tile_id in (TILE, ONBOARD):
        place(files, jpeg(), tile_id)
    assert set(files.inventory()) == {
        FoundFile(FoundKind.TILE, TILE),
        FoundFile(FoundKind.SIDECAR, TILE),
        FoundFile(FoundKind.TILE, ONBOARD),
        FoundFile(FoundKind.SIDECAR, ONBOARD),
    }


def test_discarding_removes_just_the_found_file_and_may_be_repeated(files: TileFiles) -> None:
    place(files, jpeg())
    found = {file.kind: file for file in files.inventory()}
    assert files.discard(found[FoundKind.SIDECAR]) is True
    assert files.discard(found[FoundKind.SIDECAR]) is False
    assert files.exists(TILE)
    assert files.sidecar_sha256(TILE) is None
    files.discard(found[FoundKind.TILE])
    assert not files.exists(TILE)


def test_a_sidecar_is_restored_from_the_database_hash(files: TileFiles) -> None:
    place(files, jpeg())
    files.restore_sidecar(TILE, "0" * 64)
    assert files.sidecar_sha256(TILE) == "0" * 64
    for found in list(files.inventory()):
        if found.kind is FoundKind.SIDECAR:
            files.discard(found)
    files.restore_sidecar(TILE, hashlib.sha256(jpeg()).hexdigest())
    assert files.sidecar_sha256(TILE) == hashlib.sha256(jpeg()).hexdigest()
    assert len(list(files.inventory())) == 2


def test_threads_place_read_and_remove_at_once(files: TileFiles) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for round_number in range(20):
            tile_id = TileId(10, number, round_number, TileSource.IMPORTED)
            pixels = jpeg(f"{number} {round_number}".encode())
            place(files, pixels, tile_id)
            assert read(files, tile_id) == pixels
            assert files.remove(tile_id)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert list(files.inventory()) == []


def test_readers_see_one_of_the_whole_tiles_while_it_is_being_replaced(files: TileFiles) -> None:
    versions = [jpeg(bytes([number]) * 5000) for number in range(10)]
    place(files, versions[0])
    done = threading.Event()

    def replace() -> None:
        try:
            for _ in range(5):
                for pixels in versions:
                    place(files, pixels)
        finally:
            done.set()

    with ThreadPoolExecutor(1) as threads:
        replacing = threads.submit(replace)
        while not done.is_set():
            assert read(files) in versions
        replacing.result()
