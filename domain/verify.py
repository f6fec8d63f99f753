"""Checking a whole store: every row against its file, every file against its row and its sidecar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

import attrs

from .catalogue import TileCatalogue
from .errors import TileNotFoundError
from .storage import FoundKind, TileFiles, TileRows
from .tile_key import decode_tile_key
from .tiles import TileId


class FindingKind(str, Enum):
    """What can be wrong with a tile."""

    FILE_MISSING = "file_missing"
    CONTENT_DAMAGED = "content_damaged"
    SIDECAR_MISSING = "sidecar_missing"
    SIDECAR_WRONG = "sidecar_wrong"
    ORPHAN_FILE = "orphan_file"
    TEMPORARY_FILE = "temporary_file"


REMEDIES = {
    FindingKind.FILE_MISSING: "delete the tile and ingest it again",
    FindingKind.CONTENT_DAMAGED: "delete the tile and ingest it again",
    FindingKind.SIDECAR_MISSING: "open the store again: it restores missing sidecars",
    FindingKind.SIDECAR_WRONG: "remove the sidecar and open the store again: it restores it",
    FindingKind.ORPHAN_FILE: "open the store again: it removes files without a row",
    FindingKind.TEMPORARY_FILE: "open the store again: it removes what dead writers left",
}


@attrs.frozen
class Finding:
    """One thing that is not as it should be."""

    kind: FindingKind
    tile_id: TileId
    detail: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.kind]


def verify_store(
    rows: TileRows, files: TileFiles, progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Finding]:
    """Read and hash every tile; yields what is wrong, changes nothing.

    Writers may go on: a tile that one of them is just placing can show up as an orphan or a temporary file.
    `progress(done, total)` counts tiles. Raises `StoreUnavailableError`.
    """
    catalogue = TileCatalogue()
    catalogue.load(rows.committed())
    keys, variants = catalogue.snapshot()
    for done, key in enumerate(keys):
        progress(done, len(keys))
        row = rows.get(decode_tile_key(int(key), variants))
        if row is not None:
            yield from _verify_tile(files, row.tile_id, row.content_sha256)
    progress(len(keys), len(keys))
    for found in files.walk():
        if found.kind is FoundKind.TEMPORARY:
            yield Finding(FindingKind.TEMPORARY_FILE, found.tile_id, found.path)
        elif found.tile_id not in catalogue and rows.get(found.tile_id) is None:
            yield Finding(FindingKind.ORPHAN_FILE, found.tile_id, found.path)


def _verify_tile(files: TileFiles, tile_id: TileId, expected: str) -> Iterator[Finding]:
    try:
        actual = files.content_sha256(tile_id)
    except TileNotFoundError:
        yield Finding(FindingKind.FILE_MISSING, tile_id, "its row is committed, its file is gone")
        return
    if actual != expected:
        yield Finding(FindingKind.CONTENT_DAMAGED, tile_id, f"SHA-256 is {actual}, expected {expected}")
    sidecar = files.sidecar_sha256(tile_id)
    if sidecar is None:
        yield Finding(FindingKind.SIDECAR_MISSING, tile_id, "its sidecar is missing or unreadable")
    elif sidecar != expected:
        yield Finding(FindingKind.SIDECAR_WRONG, tile_id, f"its sidecar says {sidecar}, expected {expected}")
