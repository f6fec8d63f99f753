"""Every `TileFiles` takes and refuses the bytes that the hash gate of the domain takes and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import attrs

from ....domain.errors import ContentHashMismatchError, TileCacheError
from ....domain.policies.hash_gate import check_pixels
from ....domain.ports.tile_files import TileFiles
from ....domain.values.tiles import TileMetadata
from .subject import OfTileFiles
from .subject import metadata as promised

JPEG = b"\xff\xd8\xff\xe0middle\xff\xd9"


def pixels_and_promises() -> Iterator[tuple[bytes, TileMetadata]]:
    """Wrong lengths, hashes and markers in every combination; every value of a marker's byte; few bytes."""
    for wrong_length, wrong_hash, pixels in product(
        (False, True), (False, True), (JPEG, JPEG[1:], JPEG[:-1])
    ):
        metadata = promised(pixels)
        if wrong_length:
            metadata = attrs.evolve(metadata, disk_bytes=len(pixels) + 1)
        if wrong_hash:
            metadata = attrs.evolve(metadata, content_sha256="0" * 64)
        yield pixels, metadata
    for position, value in product((0, 1, 2, -2, -1), range(256)):
        changed = bytearray(JPEG)
        changed[position] = value
        yield bytes(changed), promised(bytes(changed))
    for length in range(1, 6):
        for start in range(len(b"\xff\xd8\xff\xd9") + 1):
            short = (b"\xff\xd8\xff\xd9" * 2)[start : start + length]
            yield short, promised(short)


def refusal(error: TileCacheError | None) -> object:
    """The part of an error that every implementation shares."""
    if isinstance(error, ContentHashMismatchError):
        return type(error), error.what, error.expected, error.actual, error.tile_id
    return type(error), getattr(error, "remedy", None)


def error_of_the_domain(pixels: bytes, metadata: TileMetadata) -> TileCacheError | None:
    try:
        check_pixels(pixels, metadata)
    except TileCacheError as error:
        return error
    return None


class HashGate(OfTileFiles):
    """Every `TileFiles` takes and refuses the bytes that the hash gate of the domain takes and refuses."""

    def test_one_tile_is_taken_or_refused_as_the_domain_has_it(self, files: TileFiles) -> None:
        kinds = set()
        for pixels, metadata in pixels_and_promises():
            expected = error_of_the_domain(pixels, metadata)
            kinds.add(getattr(expected, "what", type(expected)))
            try:
                files.stage(pixels, metadata)
                found = None
            except TileCacheError as error:
                found = error
            assert refusal(found) == refusal(expected), (pixels, metadata)
        assert len(kinds) == 4  # taken; wrong length, SHA-256, markers

    def test_a_batch_is_taken_or_refused_as_the_domain_has_it(self, files: TileFiles) -> None:
        tiles = list(pixels_and_promises())
        for (pixels, metadata), found in zip(tiles, files.stage_many(tiles), strict=True):
            error = found if isinstance(found, TileCacheError) else None
            assert refusal(error) == refusal(error_of_the_domain(pixels, metadata)), (pixels, metadata)
