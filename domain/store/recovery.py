"""Opening a store: make files and rows agree again after whatever happened, beside writers that go on.

A file without a committed row is either an orphan of a dead writer or belongs to a living one between its
fifth and sixth step. Only what is still without a row while every writer is kept out is removed, and only
where the files are known to belong to these rows: to another database's rows, every file is an orphan.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import attrs
import numpy as np

from ..errors import StoreUnavailableError, TileNotFoundError
from ..ports.tile_catalogue import TileCatalogue
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.catalogue_entries import Keys
from ..values.inventory import FoundFile, FoundKind, TileInventory
from ..values.tile_key import VARIANT_BITS, VariantTable, decode_tile_key
from ..values.tiles import TileId, TileMetadataPersistent

_NAMED_IN_LOG = 3

_log = logging.getLogger("aerotile.store")


@attrs.frozen(kw_only=True)
class ReconcileReport:
    """What an open found and mended; the counts of the `c6.store.construct` log line."""

    tiles: int
    """Committed tiles in the catalogue."""
    orphans_removed: int
    temporaries_removed: int
    files_missing: int
    """Rows whose file is gone; marked, never dropped."""
    files_back: int
    """Rows that were marked so at an earlier open, and whose file is there again."""
    sidecars_restored: int
    rows_completed: int
    """Rows from before migration 0002 that were given their file's hash."""
    left_for_later: int
    """Files that looked like orphans while writers could not be kept out in time."""


def reconcile(
    rows: TileRows, files: TileFiles, catalogue: TileCatalogue, *, now: datetime, lock_timeout_s: float
) -> ReconcileReport:
    """Load the catalogue, list the files, and mend what differs.

    Raises `StoreUnavailableError`, also when the files belong to another database; then nothing is changed.
    """
    _check_identity(rows, files)
    completed, missing = _complete_old_rows(rows, files)
    differences = _compare(rows, files, catalogue)
    mended, lost = _mend(rows, files, catalogue, differences, lock_timeout_s)
    missing += lost
    report = ReconcileReport(
        tiles=len(catalogue),
        rows_completed=completed,
        files_missing=len(missing),
        files_back=_mark(rows, files, missing, now),
        **mended,
    )
    _log.info("c6.store.construct %s", " ".join(f"{k}={v}" for k, v in attrs.asdict(report).items()))
    return report


def _check_identity(rows: TileRows, files: TileFiles) -> None:
    """Let the store claim files that nobody has claimed. Raises `StoreUnavailableError` for another's."""
    ours, owner = rows.store_id(), files.store_id()
    if owner is None:
        if not _any_tile(files) or _explain_a_tile(rows, files):
            owner = files.claim(ours)
        else:  # those tiles may be of a process that claimed the folder just now
            owner = files.store_id()
    if owner == ours:
        return
    what = "to none that is known" if owner is None else f"to store {owner}"
    raise StoreUnavailableError(
        f"the tiles in {files} belong to another database: {what}, and the database at hand is store {ours}",
        remedy="set the DSN of the database that they were written with, or use another root",
    )


def _any_tile(files: TileFiles) -> bool:
    return any(len(variant.tiles) for variant in files.inventory().variants)


def _explain_a_tile(rows: TileRows, files: TileFiles) -> bool:
    """Whether files from before stores had an identity are these rows': one row has its file."""
    return any(_is_stored(files, tile) for tile in rows.committed()) or any(
        files.exists(tile_id) for tile_id in rows.incomplete()
    )


def _is_stored(files: TileFiles, tile: TileMetadataPersistent) -> bool:
    """Whether the row's file is there with the row's content, by its sidecar or else by its bytes."""
    if not files.exists(tile.tile_id):
        return False
    if files.sidecar_sha256(tile.tile_id) == tile.content_sha256:
        return True
    try:
        return files.content_sha256(tile.tile_id) == tile.content_sha256
    except TileNotFoundError:  # deleted meanwhile
        return False


def _complete_old_rows(rows: TileRows, files: TileFiles) -> tuple[int, list[TileId]]:
    """Give rows from revision 0001 their hash; how many, and those that can't have it for want of a file."""
    completed = 0
    without_file: list[TileId] = []
    for tile_id in list(rows.incomplete()):
        try:
            with files.open(tile_id) as handle:
                disk_bytes = handle.nbytes
            rows.complete(tile_id, files.content_sha256(tile_id), disk_bytes)
        except TileNotFoundError:
            without_file.append(tile_id)
        else:
            completed += 1
    # Those whose row is gone too were deleted meanwhile.
    left = set(rows.incomplete()) if without_file else set()
    return completed, [tile_id for tile_id in without_file if tile_id in left]


def _compare(rows: TileRows, files: TileFiles, catalogue: TileCatalogue) -> _Differences:
    """Load the catalogue while the files are listed. What changes meanwhile shows up as a difference."""
    with ThreadPoolExecutor(1, "inventory") as beside:
        listing = beside.submit(files.inventory)
        mark = catalogue.mark()
        catalogue.load(*rows.catalogue(), since=mark)
        try:
            return _Differences(listing.result(), *catalogue.snapshot())
        finally:
            del listing  # else its error and this frame would keep each other alive, and folders open


class _Differences:
    """What doesn't match between the files and the catalogue, both as they were at about the same time."""

    def __init__(self, inventory: TileInventory, keys: Keys, variants: VariantTable) -> None:
        """`keys` are sorted."""
        with_file = np.zeros(len(keys), np.bool_)
        with_sidecar = np.zeros(len(keys), np.bool_)
        self.unexplained = list(inventory.temporaries)
        """Temporaries, and files of tiles that the catalogue lacks."""
        for found in inventory.variants:
            try:
                ordinal = variants.ordinal(found.source, found.flight_id)
            except KeyError:  # no tile of that flight is committed
                self.unexplained.extend(found.files())
                continue
            for kind, places, there in (
                (FoundKind.TILE, found.tiles, with_file),
                (FoundKind.SIDECAR, found.sidecars, with_sidecar),
            ):
                found_keys = places << VARIANT_BITS | ordinal
                positions = np.searchsorted(keys, found_keys)
                known = positions < len(keys)
                known[known] = keys[positions[known]] == found_keys[known]
                there[positions[known]] = True
                self.unexplained.extend(
                    FoundFile(kind, decode_tile_key(int(key), variants)) for key in found_keys[~known]
                )
        self.without_file = [decode_tile_key(int(key), variants) for key in keys[~with_file]]
        self.without_sidecar = [
            decode_tile_key(int(key), variants) for key in keys[with_file & ~with_sidecar]
        ]


def _mend(
    rows: TileRows,
    files: TileFiles,
    catalogue: TileCatalogue,
    differences: _Differences,
    lock_timeout_s: float,
) -> tuple[dict[str, int], list[TileId]]:
    """Mend what differs; what was mended, and the committed tiles whose file is gone."""
    mended = dict.fromkeys(
        ("orphans_removed", "temporaries_removed", "sidecars_restored", "left_for_later"), 0
    )
    doubtful = {found.tile_id for found in differences.unexplained}
    doubtful.update(differences.without_file, differences.without_sidecar)
    if not doubtful:
        return mended, []
    try:
        with rows.locked(lock_timeout_s) as locked:
            # Looked for before the rows are: a deletion, which nobody keeps out, takes the row first.
            without_file = [t for t in differences.without_file if not files.exists(t)]
            committed = locked.committed_among(doubtful)
            for found in differences.unexplained:
                if found.kind is FoundKind.TEMPORARY:
                    mended["temporaries_removed"] += files.discard(found)
                elif found.tile_id not in committed:
                    mended["orphans_removed"] += files.discard(found) and found.kind is FoundKind.TILE
                else:  # committed by another process since the catalogue was loaded
                    catalogue.add(committed[found.tile_id])
            missing = [tile_id for tile_id in without_file if tile_id in committed]
    except StoreUnavailableError as error:
        _log.warning("could not keep writers out to look for orphans: %s", error)
        mended["left_for_later"] = len(differences.unexplained)
        return mended, []
    not_restored: list[str] = []
    for tile_id in differences.without_sidecar:
        if tile_id in committed and files.exists(tile_id):
            try:
                files.restore_sidecar(tile_id, committed[tile_id].content_sha256)
            except StoreUnavailableError as error:
                not_restored.append(str(error))
            else:
                mended["sidecars_restored"] += 1
    if not_restored:
        # A full or read-only disk, or a folder in its place: no flight needs a sidecar.
        _log.warning("%d lost sidecars are left for later: %s", len(not_restored), not_restored[0])
    gone = set(missing)
    for tile_id in differences.without_file:
        if tile_id not in committed or tile_id in gone:
            catalogue.remove(tile_id)
    return mended, missing


def _mark(rows: TileRows, files: TileFiles, missing: Sequence[TileId], now: datetime) -> int:
    """Note on rows that their file is gone, and take the note from those whose file is back; how many."""
    if missing:
        named = ", ".join(str(tile_id) for tile_id in missing[:_NAMED_IN_LOG])
        more = f" and {len(missing) - _NAMED_IN_LOG} more" if len(missing) > _NAMED_IN_LOG else ""
        _log.error("the files of %d tiles are gone, fetch them again: %s%s", len(missing), named, more)
        rows.mark_files_missing(missing, now)
    back = [tile_id for tile_id in rows.marked_missing() if files.exists(tile_id)]
    rows.mark_files_present(back)
    return len(back)
