"""`aerotile verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import attrs
import click

from .command import AerotileCommand
from .failures import JobFailedError
from .output import json_option, write_json, write_line, write_table
from .progress import progress_bar
from .session import Session

if TYPE_CHECKING:
    from ...domain.verify import Finding

_LISTED_FINDINGS = 20


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile verify
  aerotile verify --json > findings.json
  aerotile verify --reconcile
""",
)
@click.option(
    "--reconcile",
    is_flag=True,
    help="First mend what opening a store mends: files without a row, dead writers' files, lost sidecars.",
)
@json_option
@click.pass_obj
def verify(session: Session, reconcile: bool, as_json: bool) -> None:
    """Read and hash every tile, and compare rows, files and sidecars.

    A sidecar that is missing or wrong beside an intact tile is restored; without --reconcile nothing else is
    changed. Each finding says what to do about it. The exit code is 1 when any is left. Run it while nobody
    writes: a tile that is just being written may show up as one without a row.
    """
    from ...domain.verify import verify_store

    checked = 0
    mended: dict[str, int] = {}
    with session.existing_runtime() as runtime, progress_bar("tiles") as advance:
        if reconcile:
            mended = attrs.asdict(runtime.unbudgeted_store.opened)

        def count(done: int, total: int) -> None:
            nonlocal checked
            checked = total
            advance(done, total)

        findings = list(verify_store(runtime.rows, runtime.files, count))
    if as_json:
        write_json(
            {
                "tiles": checked,
                **({"reconciled": mended} if reconcile else {}),
                "findings": [
                    {
                        "kind": finding.kind.value,
                        "tile": str(finding.tile_id),
                        "detail": finding.detail,
                        "mended": finding.mended,
                        "remedy": finding.remedy,
                    }
                    for finding in findings
                ],
            }
        )
        _raise_what_is_left(findings, checked)
        return
    if reconcile:
        write_line(
            f"{mended['orphans_removed']} files without a row and {mended['temporaries_removed']} temporary "
            f"files removed, {mended['sidecars_restored']} sidecars restored"
        )
    if findings:
        write_table(
            ["finding", "tile", "detail"],
            [[f.kind.value, str(f.tile_id), f.detail] for f in islice(findings, _LISTED_FINDINGS)],
        )
        if len(findings) > _LISTED_FINDINGS:
            write_line(f"and {len(findings) - _LISTED_FINDINGS} more; --json lists them all")
        for (kind, remedy), number in Counter((f.kind, f.remedy) for f in findings).items():
            write_line(f"{number} x {kind.value}: {remedy}")
    else:
        write_line(f"{checked} tiles: every row has its file, every file its hash, row and sidecar")
    _raise_what_is_left(findings, checked)


def _raise_what_is_left(findings: Sequence[Finding], checked: int) -> None:
    left = sum(not finding.mended for finding in findings)
    if left:
        raise JobFailedError(f"{left} findings in {checked} tiles", remedy="see the remedy of each")
