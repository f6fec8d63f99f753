"""The digest of a source of tiles: of a file, of a folder's tiles, or of an address."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from ...domain.values.datasets import DigestOf, SourceDigest
from ..files.regular_file import open_regular
from .errors import InputFileError
from .folder_notes import read_folder_notes
from .tile_folder import PICTURE_KINDS, TileFile, scan_tile_folder
from .tile_scheme import TileScheme, settle_scheme

_CHUNK_BYTES = 1 << 20
_TILES_AT_ONCE = 4_096


def digest_of_file(path: Path) -> SourceDigest:
    """The SHA-256 of a file. Raises `OSError`."""
    return SourceDigest(DigestOf.FILE, _sha256_of(path))


def digest_of_folder(folder: Path, scheme: TileScheme | None = None) -> tuple[SourceDigest, Counter[str]]:
    """The digest of all pictures zoom/x/y of a folder, of each kind, and what else lies there, counted.

    `scheme`: the order of rows; None: as the notes beside the tiles say. Raises `InputFileError` without a
    picture, or where one can't be read or is there twice, and `OSError`.
    """
    found = scan_tile_folder(
        folder, (), settle_scheme(scheme, read_folder_notes(folder)), kinds=PICTURE_KINDS
    )
    for problem in found.problems:
        raise InputFileError(
            f"{folder} has no digest: {problem.file}: {problem.message}", remedy=problem.remedy
        )
    left_out = found.left_out + Counter({"file that is no tile": found.ignored})
    if not found.tiles:
        seen = ", ".join(f"{count} x {kind}" for kind, count in sorted(left_out.items()))
        raise InputFileError(
            f"{folder} holds no tiles zoom/x/y.jpg, .png or .webp{f' ({seen})' if seen else ''}",
            remedy="name the folder that holds the zoom folders",
        )
    return digest_of_tiles(found.tiles), left_out


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


def refuse_secrets(source: str) -> None:
    """Raise `InputFileError` where an address among the words that name a source may hold a secret."""
    for parts in (urlsplit(word.strip("<>()[],;'\"")) for word in source.split() if "://" in word):
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise InputFileError(
                "the address of a source is shown to everybody, and this one may hold a token or a password",
                remedy="write it without what follows '?' and without user and password",
            )


def digest_of_address(address: str) -> SourceDigest:
    """The SHA-256 of an address of tiles. Raises `InputFileError` for one that may hold a secret."""
    refuse_secrets(address)
    return SourceDigest(DigestOf.ADDRESS, hashlib.sha256(address.encode()).hexdigest())


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with os.fdopen(open_regular(path, follow=True), "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
