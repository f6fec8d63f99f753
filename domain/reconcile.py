"""Opening a store: make files and rows agree again after whatever happened, beside writers that go on.

A file without a committed row is either an orphan of a dead writer or belongs to a living one between its
fifth and sixth step. Only what is still without a row while every writer is kept out is removed.
"""

from __future__ import annotations

import logging
from datetime import datetime

import attrs
import numpy as np

from .catalogue import TileCatalogue
from .errors import StoreUnavailableError, TileNotFoundError
from .storage import FoundFile, FoundKind, TileFiles, TileRows
from .tile_key import decode_tile_key

_log = logging.getLogger("aerotile.store")


@attrs.frozen(kw_only=True)
class ReconcileReport:
    """What an open found and mended; the counts of the `c6.store.construct` log line."""

    tiles: int
    """Committed tiles in the catalogue."""
    orphans_removed: int
    temporaries_removed: int
    files_missing: int
    """Committed rows whose file is gone; marked, never dropped."""
    sidecars_restored: int
    rows_completed: int
    """Rows from before migration 0002 that were given their file's hash."""
    left_for_later: int
    """Files that looked like orphans while writers could not be kept out in time."""


def reconcile(
    rows: TileRows, files: TileFiles, catalogue: TileCatalogue, *, now: datetime, lock_timeout_s: float
) -> ReconcileReport:
    """Load the catalogue, walk the files, and mend what differs. Raises `StoreUnavailableError`."""
    completed = _complete_old_rows(rows, files)
    catalogue.load(rows.committed())
    walk = _Walk(files, catalogue)
    mended = _mend(rows, files, catalogue, walk, now, lock_timeout_s)
    report = ReconcileReport(tiles=len(catalogue), rows_completed=completed, **mended)
    _log.info("c6.store.construct %s", " ".join(f"{k}={v}" for k, v in attrs.asdict(report).items()))
    return report


def _complete_old_rows(rows: TileRows, files: TileFiles) -> int:
    completed = 0
    for tile_id in list(rows.incomplete()):
        try:
            with files.open(tile_id) as handle:
                disk_bytes = handle.nbytes
            rows.complete(tile_id, files.content_sha256(tile_id), disk_bytes)
        except TileNotFoundError:
            _log.warning("row of %s has neither a hash nor a file", tile_id)
        else:
            completed += 1
    return completed


class _Walk:
    """One pass over the files, compared with the catalogue as it was when the pass began."""

    def __init__(self, files: TileFiles, catalogue: TileCatalogue) -> None:
        keys, variants = catalogue.snapshot()
        with_file = np.zeros(len(keys), np.bool_)
        with_sidecar = np.zeros(len(keys), np.bool_)
        self.unexplained: list[FoundFile] = []
        """Temporaries, and files of tiles that the catalogue lacks."""
        for found in files.walk():
            key = catalogue.key_of(found.tile_id)
            place = len(keys) if key is None else int(np.searchsorted(keys, key))
            if found.kind is FoundKind.TEMPORARY or place == len(keys) or keys[place] != key:
                self.unexplained.append(found)
            else:
                (with_file if found.kind is FoundKind.TILE else with_sidecar)[place] = True
        self.without_file = [decode_tile_key(int(key), variants) for key in keys[~with_file]]
        self.without_sidecar = [
            decode_tile_key(int(key), variants) for key in keys[with_file & ~with_sidecar]
        ]


def _mend(
    rows: TileRows,
    files: TileFiles,
    catalogue: TileCatalogue,
    walk: _Walk,
    now: datetime,
    lock_timeout_s: float,
) -> dict[str, int]:
    mended = dict.fromkeys(
        ("orphans_removed", "temporaries_removed", "files_missing", "sidecars_restored", "left_for_later"), 0
    )
    doubtful = {found.tile_id for found in walk.unexplained}
    doubtful.update(walk.without_file, walk.without_sidecar)
    if not doubtful:
        return mended
    try:
        with rows.locked(lock_timeout_s) as locked:
            committed = locked.committed_among(doubtful)
            for found in walk.unexplained:
                if found.kind is FoundKind.TEMPORARY:
                    files.discard(found)
                    mended["temporaries_removed"] += 1
                elif found.tile_id not in committed:
                    files.discard(found)
                    mended["orphans_removed"] += found.kind is FoundKind.TILE
                else:  # committed by another process since the catalogue was loaded
                    catalogue.add(committed[found.tile_id])
            missing = [t for t in walk.without_file if t in committed and not files.exists(t)]
    except StoreUnavailableError as error:
        _log.warning("could not keep writers out to look for orphans: %s", error)
        mended["left_for_later"] = len(walk.unexplained)
        return mended
    for tile_id in walk.without_sidecar:
        if tile_id in committed and files.exists(tile_id):
            files.restore_sidecar(tile_id, committed[tile_id].content_sha256)
            mended["sidecars_restored"] += 1
    for tile_id in walk.without_file:
        if tile_id not in committed or tile_id in missing:
            catalogue.remove(tile_id)
    for tile_id in missing:
        _log.error("the file of committed tile %s is gone; fetch it again", tile_id)
    rows.mark_files_missing(missing, now)
    mended["files_missing"] = len(missing)
    return mended
