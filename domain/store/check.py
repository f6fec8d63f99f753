"""Check a whole store from one end to the other, with repairs when they are asked for; can be resumed."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ..ports.flight_recorder import FlightRecorder
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.tiles import TileMetadataPersistent
from .repair import repair
from .verify import Finding, verify_store

_REPEATED_FINDINGS = 64
"""A resumed check repeats the tiles of one position: those have fewer findings than this."""


@attrs.define
class StoreCheck:
    """The position and the findings of one check; an interrupted check goes on from them."""

    tiles: int = 0
    """How many tiles the store holds."""
    position: int = 0
    """Zoom and Z-curve of the next tile, as in a tile key."""
    findings: list[Finding] = attrs.field(factory=list)

    def add(self, finding: Finding) -> None:
        """Add a finding, in place of the same one from before an interruption."""
        same = (finding.kind, finding.tile_id)
        first = max(0, len(self.findings) - _REPEATED_FINDINGS)
        for position in range(first, len(self.findings)):
            if (self.findings[position].kind, self.findings[position].tile_id) == same:
                self.findings[position] = finding
                return
        self.findings.append(finding)

    @property
    def left(self) -> int:
        """How many findings an operator still has to deal with."""
        return sum(not (finding.mended or finding.fetch_again) for finding in self.findings)

    @property
    def fetch_again(self) -> list[str]:
        """The ids of tiles that a repair took out of the store, sorted."""
        return sorted({str(finding.tile_id) for finding in self.findings if finding.fetch_again})


def check_store(
    check: StoreCheck,
    rows: TileRows,
    files: TileFiles,
    recorder: FlightRecorder,
    *,
    repairing: bool = False,
    pace: Callable[[int], None] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    checkpoint: Callable[[], None] = lambda: None,
    checked: Callable[[TileMetadataPersistent, bool], None] = lambda row, whole: None,
) -> None:
    """Go on with `check` from its position to the end; see `verify_store`.

    With `repairing` each lost tile is taken out of the store, on the flight record; see `repair`.
    `checkpoint()` is called after each step of the position; when this raises, `check` holds what was found
    until then. Raises as `verify_store` does.
    """

    def count(done: int, total: int) -> None:
        check.tiles = total
        progress(done, total)

    def reach(position: int) -> None:
        check.position = position
        checkpoint()

    found = verify_store(
        rows, files, count, pace=pace, start_at=check.position, checkpoint=reach, checked=checked
    )
    for finding in found:
        check.add(repair(finding, rows, files, recorder) if repairing else finding)
