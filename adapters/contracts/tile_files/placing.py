"""One tile: staged, prewritten, placed, withdrawn."""

from __future__ import annotations

import hashlib

import pytest

from ....domain.errors import ContentHashMismatchError, TileMetadataError
from ....domain.ports.tile_files import TileFiles
from ....domain.values.inventory import FoundKind
from .subject import NEIGHBOUR, TILE, OfTileFiles, jpeg, metadata, place, read


class Placing(OfTileFiles):
    """One tile: staged, prewritten, placed, withdrawn."""

    def test_a_wrong_length_is_refused_before_anything_happens(self, files: TileFiles) -> None:
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

    def test_a_wrong_hash_is_refused_before_anything_happens(self, files: TileFiles) -> None:
        pixels, promised = jpeg(b"aa"), jpeg(b"bb")
        with pytest.raises(ContentHashMismatchError) as caught:
            files.stage(pixels, metadata(promised))
        assert caught.value.what == "SHA-256"
        assert caught.value.actual == hashlib.sha256(pixels).hexdigest()
        assert list(files.inventory()) == []

    @pytest.mark.parametrize(
        "pixels",
        [b"\x89PNG\r\n\x1a\n\xff\xd9", jpeg()[:-1], jpeg()[:-2], b"\0" + jpeg(), b"\xff", b"\xff\xd9"],
        ids=["png", "half end marker", "no end marker", "leading byte", "one byte", "end marker alone"],
    )
    def test_bytes_that_are_no_whole_jpeg_are_refused_before_anything_happens(
        self, files: TileFiles, pixels: bytes
    ) -> None:
        with pytest.raises(TileMetadataError, match=r"is (no JPEG|a PNG|cut short)") as caught:
            files.stage(pixels, metadata(pixels))
        assert caught.value.tile_id == TILE
        assert list(files.inventory()) == []

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_only_bytes_are_staged_because_others_can_change_meanwhile(
        self, files: TileFiles, kind: type
    ) -> None:
        pixels = jpeg()
        with pytest.raises(TypeError):
            files.stage(kind(pixels), metadata(pixels))

    def test_nothing_is_there_until_the_tile_is_placed(self, files: TileFiles) -> None:
        pixels = jpeg()
        staged = files.stage(pixels, metadata(pixels))
        assert not files.exists(TILE)
        assert list(files.inventory()) == []
        files.place(staged)
        assert files.exists(TILE)

    def test_what_is_written_ahead_is_not_there_until_it_is_placed(self, files: TileFiles) -> None:
        place(files, jpeg(), NEIGHBOUR)  # the folder is there
        pixels = jpeg(b"ahead" * 10_000)
        staged = files.stage(pixels, metadata(pixels))
        files.prewrite(staged)
        assert not files.exists(TILE)
        assert {found.tile_id for found in files.inventory()} == {NEIGHBOUR}
        files.place(staged)
        assert read(files) == pixels
        assert files.sidecar_sha256(TILE) == hashlib.sha256(pixels).hexdigest()

    def test_what_was_written_ahead_and_withdrawn_is_gone_and_can_be_placed_later(
        self, files: TileFiles
    ) -> None:
        place(files, jpeg(), NEIGHBOUR)
        staged = files.stage(jpeg(), metadata(jpeg()))
        files.prewrite(staged)
        files.withdraw(staged)
        assert {found.tile_id for found in files.inventory()} == {NEIGHBOUR}
        files.place(staged)
        assert read(files) == jpeg()
        files.withdraw(staged)
        assert {found.tile_id for found in files.inventory()} == {NEIGHBOUR}

    def test_what_was_written_ahead_takes_the_place_of_an_orphan(self, files: TileFiles) -> None:
        place(files, jpeg(b"orphan"))
        staged = files.stage(jpeg(), metadata(jpeg()))
        files.prewrite(staged)
        assert read(files) == jpeg(b"orphan")
        files.place(staged)
        assert read(files) == jpeg()
        assert files.sidecar_sha256(TILE) == hashlib.sha256(jpeg()).hexdigest()
        assert {found.kind for found in files.inventory()} <= {FoundKind.TILE, FoundKind.SIDECAR}

    def test_a_placed_tile_reads_back_byte_identical(self, files: TileFiles) -> None:
        pixels = jpeg(bytes(range(256)) * 100)
        place(files, pixels)
        assert read(files) == pixels
        assert files.read(TILE) == files.read(TILE, 60.0) == files.read(TILE, 0) == pixels
        with files.open(TILE, 0) as handle:
            assert bytes(memoryview(handle)) == pixels
        assert files.content_sha256(TILE) == hashlib.sha256(pixels).hexdigest()

    def test_placing_writes_the_sidecar_too(self, files: TileFiles) -> None:
        place(files, jpeg())
        assert files.sidecar_sha256(TILE) == hashlib.sha256(jpeg()).hexdigest()

    def test_placing_replaces_an_orphan_left_by_a_crash(self, files: TileFiles) -> None:
        place(files, jpeg(b"orphan"))
        place(files, jpeg(b"new"))
        assert read(files) == jpeg(b"new")
        assert files.sidecar_sha256(TILE) == hashlib.sha256(jpeg(b"new")).hexdigest()

    def test_withdrawing_removes_file_and_sidecar(self, files: TileFiles) -> None:
        staged = files.stage(jpeg(), metadata(jpeg()))
        files.place(staged)
        files.withdraw(staged)
        assert not files.exists(TILE)
        assert list(files.inventory()) == []

    def test_withdrawing_leaves_a_replacement_alone_even_with_the_same_content(
        self, files: TileFiles
    ) -> None:
        pixels = jpeg()
        first = files.stage(pixels, metadata(pixels))
        files.place(first)
        place(files, pixels)
        files.withdraw(first)
        assert read(files) == pixels
        assert files.sidecar_sha256(TILE) is not None

    def test_withdrawing_what_was_never_placed_does_nothing(self, files: TileFiles) -> None:
        place(files, jpeg(b"other"))
        files.withdraw(files.stage(jpeg(), metadata(jpeg())))
        assert read(files) == jpeg(b"other")

    def test_a_withdrawn_tile_can_be_placed_again(self, files: TileFiles) -> None:
        staged = files.stage(jpeg(), metadata(jpeg()))
        files.place(staged)
        files.withdraw(staged)
        files.withdraw(staged)
        files.place(staged)
        assert read(files) == jpeg()
