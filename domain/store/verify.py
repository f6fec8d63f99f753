"""Checking a whole store: every row against its file, every file against its row and its sidecar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

import attrs
import numpy as np

from ..errors import NoTileFileError, StoreUnavailableError, TileNotFoundError
from ..ports.tile_files import MALFORMED_SIDECAR, TileFiles
from ..ports.tile_rows import TileRows
from ..values.catalogue_entries import Keys
from ..values.inventory import FoundKind
from ..values.tile_key import VARIANT_BITS, VariantTable, decode_tile_key, encode_tile_key
from ..values.tiles import TileId, TileMetadataPersistent
from .settle_replacement import settled


class FindingKind(str, Enum):
    """What can be wrong with a tile."""

    FILE_MISSING = "file_missing"
    FILE_UNREADABLE = "file_unreadable"
    NOT_A_FILE = "not_a_file"
    CONTENT_DAMAGED = "content_damaged"
    HASH_UNKNOWN = "hash_unknown"
    SIDECAR_MISSING = "sidecar_missing"
    SIDECAR_WRONG = "sidecar_wrong"
    ORPHAN_FILE = "orphan_file"
    TEMPORARY_FILE = "temporary_file"


_INGEST_AGAIN = "run aerotile verify --repair, which keeps what is there in quarantine; then ingest it again"
_REPAIR_FIRST = "mend what else is wrong with the tile or its folder, then run aerotile verify again"

REMEDIES = {
    FindingKind.FILE_MISSING: _INGEST_AGAIN,
    FindingKind.FILE_UNREADABLE: "check the disk and the permissions, then run aerotile verify again",
    FindingKind.NOT_A_FILE: _INGEST_AGAIN,
    FindingKind.CONTENT_DAMAGED: _INGEST_AGAIN,
    FindingKind.HASH_UNKNOWN: "run aerotile verify --reconcile: it takes the hash of the file that is there",
    FindingKind.SIDECAR_MISSING: _REPAIR_FIRST,
    FindingKind.SIDECAR_WRONG: _REPAIR_FIRST,
    FindingKind.ORPHAN_FILE: "run aerotile verify --reconcile: it removes files without a row",
    FindingKind.TEMPORARY_FILE: "run aerotile verify --reconcile: it removes what dead writers left",
}


@attrs.frozen
class Finding:
    """One thing that is wrong in the store, or was wrong until it was repaired."""

    kind: FindingKind
    tile_id: TileId
    detail: str
    mended: bool = False
    """Whether it is repaired; nothing is left to do then."""
    fetch_again: bool = False
    """Whether a repair took the tile out of the store; the tile can be ingested again."""
    kept_at: str | None = None
    """The path of the quarantined file, relative to the tiles' folder."""

    @property
    def remedy(self) -> str:
        """What an operator should do about it."""
        if self.fetch_again:
            return "fetch the tile again and ingest it"
        return "nothing: it was restored from the database's hash" if self.mended else REMEDIES[self.kind]


def verify_store(
    rows: TileRows,
    files: TileFiles,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    pace: Callable[[int], None] | None = None,
    start_at: int = 0,
    checkpoint: Callable[[int], None] = lambda position: None,
    checked: Callable[[TileMetadataPersistent, bool], None] = lambda row, whole: None,
) -> Iterator[Finding]:
    """Read and hash every tile; yields each finding, and restores sidecars of tiles that match their row.

    A committed replacement that a dead writer left under its second name gets its place. Nothing else is
    changed. A file that the disk can't read is a finding, and the check goes on. Writers may
    go on too: a tile that is being placed can show up as an orphan or a temporary file, and a sidecar that is
    restored while its tile is deleted stays behind as an orphan.
    `progress(done, total)` counts tiles; `pace(read_bytes)` is called after each tile that was read, and may
    sleep. Tiles are checked in the order of their position (zoom and Z-curve, as in a tile key):
    `checkpoint(position)` tells the position that is reached, and `start_at` goes on from such a position.
    `checked(row, whole)` is called for each row: whether its file is there and has its hash.
    Raises `StoreUnavailableError` when the database does not answer, or when the folders can't be listed
    though every tile in them could be read.
    """
    without_hash = frozenset(rows.rows_without_hash())
    for tile_id in without_hash:
        yield Finding(FindingKind.HASH_UNKNOWN, tile_id, "its row knows no hash to compare its file with")
    columns, variants = rows.catalogue()
    keys = np.sort(columns.keys)
    unreadable: TileId | None = None
    first = int(np.searchsorted(keys, start_at << VARIANT_BITS))
    for done, key in enumerate(keys[first:], start=first):
        progress(done, len(keys))
        checkpoint(int(key) >> VARIANT_BITS)
        for finding in _verify_tile(rows, files, decode_tile_key(int(key), variants), pace, checked):
            if finding.kind is FindingKind.FILE_UNREADABLE:
                unreadable = finding.tile_id
            yield finding
    progress(len(keys), len(keys))
    try:
        for found in files.inventory():
            if found.kind in (FoundKind.TEMPORARY, FoundKind.REPLACEMENT):
                yield Finding(FindingKind.TEMPORARY_FILE, found.tile_id, str(found.path))
            elif (
                not _is_among(keys, variants, found.tile_id)
                and found.tile_id not in without_hash
                and rows.get(found.tile_id) is None
            ):
                yield Finding(
                    FindingKind.ORPHAN_FILE, found.tile_id, f"no row is committed for its {found.kind.value}"
                )
    except StoreUnavailableError as error:
        if unreadable is None:
            raise
        yield Finding(
            FindingKind.FILE_UNREADABLE, unreadable, f"not every folder was searched for orphans: {error}"
        )


def _verify_tile(
    rows: TileRows,
    files: TileFiles,
    tile_id: TileId,
    pace: Callable[[int], None] | None,
    checked: Callable[[TileMetadataPersistent, bool], None],
) -> Iterator[Finding]:
    """Compare a tile's file, and then its sidecar, with its row, if there still is one."""
    row = rows.get(tile_id)
    if row is None:
        return
    finding = _verify_content(files, row)
    if finding is not None and finding.kind is not FindingKind.FILE_UNREADABLE:
        # A writer may have deleted or replaced the tile since the row was read, or died meanwhile.
        with settled(rows, files, tile_id) as row:
            finding = None if row is None else _verify_content(files, row)
        if row is None:
            return
    checked(row, finding is None)
    if pace is not None:
        pace(row.disk_bytes)
    if finding is not None:
        yield finding
    if finding is None or finding.kind is FindingKind.CONTENT_DAMAGED:
        try:
            claimed = files.sidecar_sha256(tile_id)
        except StoreUnavailableError as error:
            yield Finding(FindingKind.FILE_UNREADABLE, tile_id, str(error))
        else:
            if claimed != row.content_sha256:
                yield from _restore(rows, files, row, claimed, tile_matches_row=finding is None)


def _verify_content(files: TileFiles, row: TileMetadataPersistent) -> Finding | None:
    tile_id, expected = row.tile_id, row.content_sha256
    try:
        actual = files.content_sha256(tile_id)
    except TileNotFoundError:
        return Finding(FindingKind.FILE_MISSING, tile_id, "its row is committed, its file is gone")
    except NoTileFileError as error:
        return Finding(FindingKind.NOT_A_FILE, tile_id, str(error))
    except StoreUnavailableError as error:
        return Finding(FindingKind.FILE_UNREADABLE, tile_id, str(error))
    if actual == expected:
        return None
    return Finding(FindingKind.CONTENT_DAMAGED, tile_id, f"SHA-256 is {actual}, expected {expected}")


def _restore(
    rows: TileRows,
    files: TileFiles,
    row: TileMetadataPersistent,
    claimed: str | None,
    *,
    tile_matches_row: bool,
) -> Iterator[Finding]:
    """Write the sidecar again when the row is still the one that was checked; yields the outcome."""
    tile_id, expected = row.tile_id, row.content_sha256
    kind = FindingKind.SIDECAR_MISSING if claimed is None else FindingKind.SIDECAR_WRONG
    if claimed is None:
        detail = "its sidecar is missing"
    elif claimed == MALFORMED_SIDECAR:
        detail = "its sidecar is not one well-formed line"
    else:
        detail = f"its sidecar says {claimed}, expected {expected}"
    mended = False
    with settled(rows, files, tile_id) as now:
        if now is None or now.content_sha256 != expected:  # deleted or replaced meanwhile
            return
        if tile_matches_row:
            try:
                files.restore_sidecar(tile_id, expected)
                mended = True
            except StoreUnavailableError as error:
                detail = f"{detail}, and it can't be restored: {error}"
    yield Finding(kind, tile_id, detail, mended=mended)


def _is_among(keys: Keys, variants: VariantTable, tile_id: TileId) -> bool:
    """Whether the sorted `keys` hold the tile's."""
    try:
        key = encode_tile_key(tile_id, variants)
    except KeyError:  # of a flight without a committed tile
        return False
    position = int(np.searchsorted(keys, key))
    return position < len(keys) and int(keys[position]) == key
