"""The digest of a source of tiles: of a file, of a folder's tiles, or of an address."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from ...domain.values.datasets import DigestOf, SourceDigest
from ..files.regular_file import open_regular
from .errors import InputFileError
from .tile_folder import TileFile

_CHUNK_BYTES = 1 << 20
_TILES_AT_ONCE = 4_096


def digest_of_file(path: Path) -> SourceDigest:
    """The SHA-256 of a file. Raises `OSError`."""
    return SourceDigest(DigestOf.FILE, _sha256_of(path))


def digest_of_tiles(tiles: Sequence[TileFile]) -> SourceDigest:
    """The SHA-256 over a line `SHA-256  zoom/x/y` for each tile, by place. Raises `OSError`."""
    whole = hashlib.sha256()
    ordered = sorted(tiles, key=lambda tile: (tile.zoom_level, tile.x, tile.y))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="aerotile-digest") as pool:
        for begin in range(0, len(ordered), _TILES_AT_ONCE):
            some = ordered[begin : begin + _TILES_AT_ONCE]
            digests = pool.map(lambda tile: _sha256_of(Path(tile.name)), some)
            for tile, sha256 in zip(some, digests, strict=True):
                whole.update(f"{sha256}  {tile.zoom_level}/{tile.x}/{tile.y}\n".encode("ascii"))
    return SourceDigest(DigestOf.FOLDER, whole.hexdigest())


def digest_of_address(address: str) -> SourceDigest:
    """The SHA-256 of an address of tiles. Raises `InputFileError` for one that may hold a secret."""
    parts = urlsplit(address)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise InputFileError(
            "the address of a source is shown to everybody, and this one may hold a token or a password",
            remedy="write it without what follows '?' and without user and password",
        )
    return SourceDigest(DigestOf.ADDRESS, hashlib.sha256(address.encode()).hexdigest())


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with os.fdopen(open_regular(path, follow=True), "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
