"""Opening a store: make files and rows agree again after any crash, beside writers that go on.

A file without a committed row is either an orphan of a dead writer or belongs to a living one between its
fifth and sixth step. A file is removed only when it is still without a row while every writer is locked out,
and only when the files belong to these rows: for another database's rows, every file would be an orphan.
The same goes for the second name of a replacement, unless its digest is the one that the row names: then the
replacement was committed, and its file gets its place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import UUID

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
from .settle_replacement import settle_replacement

_NAMED_IN_LOG = 3

_log = logging.getLogger("aerotile.store")


@attrs.frozen(kw_only=True)
class ReconcileReport:
    """What an open found and repaired; the counts of the `c6.store.construct` log line."""

    tiles: int
    """Committed tiles in the catalogue."""
    orphans_removed: int
    temporaries_removed: int
    files_missing: int
    """Rows whose file is gone; marked, never dropped."""
    files_back: int
    """Rows that an earlier open marked as without a file, and whose file is there again."""
    replacements_settled: int
    """Committed replacements whose file got its place."""
    sidecars_restored: int
    rows_completed: int
    """Rows from before migration 0002 that were given their file's hash."""
    left_for_later: int
    """Files that looked like orphans while writers could not be locked out in time."""


def reconcile(
    rows: TileRows, files: TileFiles, catalogue: TileCatalogue, *, now: datetime, lock_timeout_s: float
) -> ReconcileReport:
    """Load the catalogue, list the files, and repair their differences.

    Raises `StoreUnavailableError`, also when the files belong to another database; then nothing is changed.
    """
    _check_identity(rows, files)
    completed, missing = _fill_hashes(rows, files)
    differences = _compare(rows, files, catalogue)
    # After the load: a replacement that the catalogue has is settled, or among these.
    settled = _settle(rows, files, catalogue, rows.unsettled())
    repaired, lost = _repair(rows, files, catalogue, differences, lock_timeout_s)
    missing += lost
    report = ReconcileReport(
        tiles=len(catalogue),
        rows_completed=completed,
        files_missing=len(missing),
        files_back=_mark(rows, files, missing, now),
        replacements_settled=settled,
        **repaired,
    )
    _log.info("c6.store.construct %s", " ".join(f"{k}={v}" for k, v in attrs.asdict(report).items()))
    return report


def _check_identity(rows: TileRows, files: TileFiles) -> None:
    """Claim files that no store owns.

    Raises `StoreUnavailableError` when another store owns them, and as `refuse_missing_tiles`.
    """
    ours, owner = rows.store_id(), files.store_id()
    if owner is None:
        refuse_missing_tiles(rows, files)
        any_tile = _any_tile(files)
        is_explained = not any_tile or _explain_a_tile(rows, files)
        # Tiles that are not may belong to a process that claimed the folder just now.
        owner = files.claim(ours) if is_explained else files.store_id()
    refuse_files_of_another_store(files, ours=ours, owner=owner)


def refuse_missing_tiles(rows: TileRows, files: TileFiles) -> None:
    """Raise `StoreUnavailableError` for an empty folder in the place of the tiles that the rows name.

    Their disk may not be mounted, and what is written would lie below its mount.
    """
    # In this order: a folder is claimed before its first row is committed.
    names_tiles = rows.disk_usage().footprint_bytes > 0
    if names_tiles and files.store_id() is None and not _any_tile(files):
        raise StoreUnavailableError(
            f"{files} is empty, and the database knows tiles there: their disk may not be mounted",
            remedy="mount it; where the tiles are lost, write the line "
            f"{rows.store_id()} into the file .aerotile-store there, and bring them in anew",
        )


def refuse_files_of_another_store(files: object, *, ours: UUID, owner: UUID | None) -> None:
    """Raise `StoreUnavailableError` unless the files, shown by their name, belong to the database at hand."""
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
    """Whether files from before stores had an identity belong to these rows: a row has its file."""
    return any(_is_stored(files, tile) for tile in rows.committed()) or any(
        files.exists(tile_id) for tile_id in rows.rows_without_hash()
    )


def _is_stored(files: TileFiles, tile: TileMetadataPersistent) -> bool:
    """Whether the row's file has the row's content, by its sidecar or else by its bytes."""
    if not files.exists(tile.tile_id):
        return False
    if files.sidecar_sha256(tile.tile_id) == tile.content_sha256:
        return True
    try:
        return files.content_sha256(tile.tile_id) == tile.content_sha256
    except TileNotFoundError:  # deleted meanwhile
        return False


def _fill_hashes(rows: TileRows, files: TileFiles) -> tuple[int, list[TileId]]:
    """Fill the hash into rows from revision 0001; returns how many, and the tiles whose file is missing."""
    completed = 0
    without_file: list[TileId] = []
    for tile_id in list(rows.rows_without_hash()):
        try:
            with files.open(tile_id) as handle:
                disk_bytes = handle.nbytes
            rows.fill_hash(tile_id, files.content_sha256(tile_id), disk_bytes)
        except TileNotFoundError:
            without_file.append(tile_id)
        else:
            completed += 1
    # A tile whose row is gone too was deleted meanwhile.
    left = set(rows.rows_without_hash()) if without_file else set()
    return completed, [tile_id for tile_id in without_file if tile_id in left]


def _compare(rows: TileRows, files: TileFiles, catalogue: TileCatalogue) -> _Differences:
    """Load the catalogue while the files are listed. Changes during the listing show up as differences."""
    with ThreadPoolExecutor(1, "inventory") as beside:
        listing = beside.submit(files.inventory)
        mark = catalogue.mark()
        catalogue.load(*rows.catalogue(), since=mark)
        try:
            return _Differences(listing.result(), *catalogue.snapshot())
        finally:
            del listing  # otherwise its error and this frame would keep each other alive, and folders open


class _Differences:
    """The differences between the files and the catalogue, both as of about the same time."""

    def __init__(self, inventory: TileInventory, keys: Keys, variants: VariantTable) -> None:
        """`keys` are sorted."""
        with_file = np.zeros(len(keys), np.bool_)
        with_sidecar = np.zeros(len(keys), np.bool_)
        self.unexplained = [*inventory.temporaries, *inventory.replacements]
        """Temporaries, replacements, and files of tiles that the catalogue lacks."""
        for found in inventory.variants:
            try:
                ordinal = variants.ordinal(found.source, found.flight_id)
            except KeyError:  # no tile of that flight is committed
                self.unexplained.extend(found.files())
                continue
            for kind, positions, present in (
                (FoundKind.TILE, found.tiles, with_file),
                (FoundKind.SIDECAR, found.sidecars, with_sidecar),
            ):
                # Nearly always each tile has its sidecar.
                if kind is FoundKind.TILE or not np.array_equal(found.tiles, found.sidecars):
                    found_keys = positions << VARIANT_BITS | ordinal
                    indices = np.searchsorted(keys, found_keys)
                    known = indices < len(keys)
                    known[known] = keys[indices[known]] == found_keys[known]
                present[indices[known]] = True
                self.unexplained.extend(
                    FoundFile(kind, decode_tile_key(int(key), variants)) for key in found_keys[~known]
                )
        self.without_file = [decode_tile_key(int(key), variants) for key in keys[~with_file]]
        self.without_sidecar = [
            decode_tile_key(int(key), variants) for key in keys[with_file & ~with_sidecar]
        ]


def _repair(
    rows: TileRows,
    files: TileFiles,
    catalogue: TileCatalogue,
    differences: _Differences,
    lock_timeout_s: float,
) -> tuple[dict[str, int], list[TileId]]:
    """Repair the differences; returns the counts, and the committed tiles whose file is gone."""
    repaired = dict.fromkeys(
        ("orphans_removed", "temporaries_removed", "sidecars_restored", "left_for_later"), 0
    )
    differing = {found.tile_id for found in differences.unexplained}
    differing.update(differences.without_file, differences.without_sidecar)
    if not differing:
        return repaired, []
    try:
        with rows.locked(lock_timeout_s) as locked:
            # Files before rows: a deletion, which no lock keeps out, removes the row first.
            without_file = [t for t in differences.without_file if not files.exists(t)]
            committed = locked.committed_among(differing)
            for found in differences.unexplained:
                if found.kind is FoundKind.REPLACEMENT and _is_of(found, committed):
                    continue  # settled above, or by its writer in a moment
                if found.kind in (FoundKind.TEMPORARY, FoundKind.REPLACEMENT):
                    repaired["temporaries_removed"] += files.discard(found)
                elif found.tile_id not in committed:
                    repaired["orphans_removed"] += files.discard(found) and found.kind is FoundKind.TILE
                else:  # committed by another process since the catalogue was loaded
                    catalogue.add(committed[found.tile_id])
            missing = [tile_id for tile_id in without_file if tile_id in committed]
    except StoreUnavailableError as error:
        _log.warning("could not lock writers out to look for orphans: %s", error.explained)
        repaired["left_for_later"] = len(differences.unexplained)
        return repaired, []
    # The same content as that of the tile's name: a cut has undone the last step of a settling.
    _settle(
        rows,
        files,
        catalogue,
        {
            found.tile_id
            for found in differences.unexplained
            if found.kind is FoundKind.REPLACEMENT and _is_of(found, committed)
        },
    )
    repaired["sidecars_restored"] = _restore_sidecars(files, differences.without_sidecar, committed)
    gone = set(missing)
    for tile_id in differences.without_file:
        if tile_id not in committed or tile_id in gone:
            catalogue.remove(tile_id)
    return repaired, missing


def _restore_sidecars(
    files: TileFiles, tile_ids: Sequence[TileId], committed: Mapping[TileId, TileMetadataPersistent]
) -> int:
    """Write the lost sidecars of committed tiles again; returns how many. A failure is logged."""
    restored, not_restored = 0, []
    for tile_id in tile_ids:
        if tile_id in committed and files.exists(tile_id):
            try:
                files.restore_sidecar(tile_id, committed[tile_id].content_sha256)
            except StoreUnavailableError as error:
                not_restored.append(error.explained)
            else:
                restored += 1
    if not_restored:
        # A full or read-only disk, or a folder in the sidecar's place: a flight needs no sidecar.
        _log.warning("%d lost sidecars are left for later: %s", len(not_restored), not_restored[0])
    return restored


def _is_of(found: FoundFile, committed: Mapping[TileId, TileMetadataPersistent]) -> bool:
    """Whether a replacement's file is the one that the row names."""
    row = committed.get(found.tile_id)
    return row is not None and row.content_sha256 == found.content_sha256


def _settle(rows: TileRows, files: TileFiles, catalogue: TileCatalogue, tile_ids: Iterable[TileId]) -> int:
    """Give the files of committed replacements their place; returns how many.

    A tile whose file can't be placed is left out of the catalogue: its file may hold the older imagery.
    """
    settled = 0
    for tile_id in tile_ids:
        try:
            settled += settle_replacement(rows, files, tile_id) is not None
        except StoreUnavailableError as error:
            _log.error("the newer imagery of tile %s waits for its place: %s", tile_id, error.explained)
            catalogue.remove(tile_id)
    return settled


def _mark(rows: TileRows, files: TileFiles, missing: Sequence[TileId], now: datetime) -> int:
    """Mark rows whose file is gone; returns how many marked rows have their file again."""
    if missing:
        named = ", ".join(str(tile_id) for tile_id in missing[:_NAMED_IN_LOG])
        more = f" and {len(missing) - _NAMED_IN_LOG} more" if len(missing) > _NAMED_IN_LOG else ""
        _log.error("the files of %d tiles are gone, fetch them again: %s%s", len(missing), named, more)
        rows.mark_files_missing(missing, now)
    back = [tile_id for tile_id in rows.marked_missing() if files.exists(tile_id)]
    rows.mark_files_present(back)
    return len(back)
