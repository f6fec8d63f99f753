"""Every `TileFiles` takes and refuses the bytes that the hash gate of the domain takes and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import attrs

from ....domain.errors import ContentHashMismatchError, TileCacheError
from ....domain.policies.hash_gate import check_pixels
from ....domain.policies.jpeg import walk_jpeg
from ....domain.ports.tile_files import TileFiles
from ....domain.values.tiles import TileMetadata
from ...memory.example_jpeg import example_jpeg
from .subject import OfTileFiles
from .subject import metadata as promised

JPEG = example_jpeg(b"middle\xff\xff\xff")


def pixels_and_promises() -> Iterator[tuple[bytes, TileMetadata]]:
    """Wrong lengths, hashes and pictures in every combination; every value of every byte; every length."""
    for wrong_length, wrong_hash, pixels in product(
        (False, True), (False, True), (JPEG, JPEG[1:], JPEG[:-1], example_jpeg(tile_size_pixels=512))
    ):
        metadata = promised(pixels)
        if wrong_length:
            metadata = attrs.evolve(metadata, disk_bytes=len(pixels) + 1)
        if wrong_hash:
            metadata = attrs.evolve(metadata, content_sha256="0" * 64)
        yield pixels, metadata
    for position, value in product(range(len(JPEG)), range(256)):
        changed = bytearray(JPEG)
        changed[position] = value
        yield bytes(changed), promised(bytes(changed))
    for length in range(1, len(JPEG)):
        yield JPEG[:length], promised(JPEG[:length])
        yield JPEG[length:], promised(JPEG[length:])
    for behind in (b"\0", b"\0\0\0", b"\xff\xd9", b"PK\x05\x06", JPEG):
        yield JPEG + behind, promised(JPEG + behind)
    yield (
        example_jpeg(tile_size_pixels=512),
        promised(example_jpeg(tile_size_pixels=512), tile_size_pixels=512),
    )


def refusal(error: TileCacheError | None) -> object:
    """The type, the words and the remedy of an error."""
    if isinstance(error, ContentHashMismatchError):
        return type(error), error.what, error.expected, error.actual, error.tile_id
    return type(error), str(error), getattr(error, "remedy", None)


def error_of_the_domain(pixels: bytes, metadata: TileMetadata) -> TileCacheError | None:
    try:
        check_pixels(pixels, metadata)
    except TileCacheError as error:
        return error
    return None


class HashGate(OfTileFiles):
    """Every `TileFiles` takes and refuses the bytes that the hash gate of the domain takes and refuses."""

    def test_one_tile_is_taken_or_refused_as_the_domain_has_it(self, files: TileFiles) -> None:
        kinds, faults = set(), set()
        for pixels, metadata in pixels_and_promises():
            expected = error_of_the_domain(pixels, metadata)
            kinds.add(getattr(expected, "what", type(expected)))
            faults.add(walk_jpeg(pixels).fault)
            try:
                files.stage(pixels, metadata)
                found = None
            except TileCacheError as error:
                found = error
            assert refusal(found) == refusal(expected), (pixels, metadata)
        assert len(kinds) == 4  # taken; wrong length, SHA-256, picture
        assert len(faults) == 10

    def test_a_batch_is_taken_or_refused_as_the_domain_has_it(self, files: TileFiles) -> None:
        tiles = list(pixels_and_promises())
        for (pixels, metadata), found in zip(tiles, files.stage_many(tiles), strict=True):
            error = found if isinstance(found, TileCacheError) else None
            assert refusal(error) == refusal(error_of_the_domain(pixels, metadata)), (pixels, metadata)
