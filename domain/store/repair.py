"""Take a lost tile out of the store so that it can be fetched again; its file goes into quarantine."""

from __future__ import annotations

import attrs

from ..errors import NoTileFileError, TileNotFoundError
from ..make_events import quarantined_event
from ..ports.flight_recorder import FlightRecorder
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from .settle_replacement import settle_replacement
from .verify import Finding, FindingKind

_LOST = frozenset({FindingKind.CONTENT_DAMAGED, FindingKind.FILE_MISSING, FindingKind.NOT_A_FILE})


def repair(finding: Finding, rows: TileRows, files: TileFiles, recorder: FlightRecorder) -> Finding:
    """Remove the row of a lost tile and move its file into quarantine; returns the finding as it is now.

    Other findings are returned as they are; so is a tile that was deleted or replaced meanwhile, as repaired.
    The file is moved first: after a crash in between, or when the database does not answer, the row has no
    file, which the next repair finds. In the other order the next open would remove the file as an orphan,
    and no record would say that the tile is lost. Run it while no program writes. Raises
    `StoreUnavailableError`.
    """
    if finding.mended or finding.kind not in _LOST:
        return finding
    row = settle_replacement(rows, files, finding.tile_id)
    if row is None:
        return attrs.evolve(finding, mended=True, detail=f"{finding.detail}; deleted meanwhile")
    try:
        actual: str | None = files.content_sha256(finding.tile_id)
    except (TileNotFoundError, NoTileFileError):
        actual = None
    if actual == row.content_sha256:
        return attrs.evolve(finding, mended=True, detail=f"{finding.detail}; replaced meanwhile")
    kept_at = files.quarantine(finding.tile_id)
    with rows.removing(finding.tile_id):
        pass
    recorder.record(quarantined_event(row, finding.kind.value, actual, kept_at))
    return attrs.evolve(finding, fetch_again=True, kept_at=kept_at)
