"""`aerotile verify`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..command import AerotileCommand
from ..errors import JobFailedError
from ..output import json_option, write_json, write_line, write_table
from ..progress import Advance, progress_bar
from ..session import Session
from ..verify_progress import VerifyProgress

if TYPE_CHECKING:
    from ....domain.store.verify import Finding
    from ...composition import Runtime

_LISTED_FINDINGS = 20
_REPEATED_FINDINGS = 64
"""A resumed check repeats the tiles of one place: more findings than those can have."""
TILES_TO_FETCH = 3
"""Exit code: everything was put right, but tiles were lost and are to be fetched again."""


def byte_rate(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Read a number of bytes a second such as `20 MiB`."""
    if text is None:
        return None
    from ...config.values import parse_byte_size

    try:
        rate = parse_byte_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if rate < 1:
        raise click.BadParameter(f"must be at least 1 byte a second, got {text!r}")
    return rate


@attrs.define
class Check:
    """What one run has done so far."""

    tiles: int = 0
    reconciled: dict[str, int] | None = None
    findings: list[dict[str, Any]] = attrs.field(factory=list)
    index: list[dict[str, Any]] = attrs.field(factory=list)

    def note(self, finding: dict[str, Any]) -> None:
        """Take a finding, in place of the same one from before an interruption."""
        same = (finding["kind"], finding["tile"])
        first = max(0, len(self.findings) - _REPEATED_FINDINGS)
        for place in range(first, len(self.findings)):
            if (self.findings[place]["kind"], self.findings[place]["tile"]) == same:
                self.findings[place] = finding
                return
        self.findings.append(finding)

    @property
    def left(self) -> int:
        """How many findings still need somebody."""
        tiles = sum(not (finding["mended"] or finding["fetch_again"]) for finding in self.findings)
        return tiles + len(self.index)

    @property
    def fetch_again(self) -> list[str]:
        """The tiles that a repair took out of the store."""
        return sorted({finding["tile"] for finding in self.findings if finding["fetch_again"]})


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile verify
  aerotile verify --max-rate "20 MiB"     # leave the disk to others; Ctrl-C, then --resume
  aerotile verify --repair --json > findings.json

\b
Exit codes: 0 all is well, or was put right; 1 something is left to do; 2 wrong call;
  3 all was put right, but tiles were lost: fetch again those under "fetch_again".
""",
)
@click.option(
    "--reconcile",
    is_flag=True,
    help="First mend what opening a store mends: files without a row, dead writers' files, lost sidecars.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="As --reconcile; and take lost tiles out of the store, their damaged files into quarantine.",
)
@click.option("--resume", is_flag=True, help="Go on with a check that was interrupted.")
@click.option(
    "--max-rate",
    metavar="SIZE",
    callback=byte_rate,
    help='Read at most this many bytes a second, as "20 MiB".',
)
@json_option
@click.pass_obj
def verify(
    session: Session, reconcile: bool, repair: bool, resume: bool, max_rate: int | None, as_json: bool
) -> None:
    """Read and hash every tile, and compare rows, files, sidecars and the generations of the index.

    A sidecar that is missing or wrong beside an intact tile is restored; without --reconcile or --repair
    nothing else is changed. Each finding says what to do about it. Run it while nobody writes: a tile that is
    just being written may show up as one without a row.
    """
    check = Check()
    with session.existing_runtime() as runtime, progress_bar("tiles") as advance:
        if reconcile or repair:
            check.reconciled = attrs.asdict(runtime.unbudgeted_store.opened)
        progress = VerifyProgress(runtime.config.root, runtime.rows.store_id())
        if resume:
            progress.resume()
        check.findings = progress.findings
        _check_tiles(runtime, check, progress, advance, repair=repair, max_rate=max_rate)
        check.index = _check_index(runtime)
        progress.finish()
    if as_json:
        write_json(_facts(check))
    else:
        _tell(check)
    if check.left:
        raise JobFailedError(f"{check.left} findings in {check.tiles} tiles", remedy="see the remedy of each")
    if check.fetch_again:
        raise click.exceptions.Exit(TILES_TO_FETCH)


def _check_tiles(
    runtime: Runtime,
    check: Check,
    progress: VerifyProgress,
    advance: Advance,
    *,
    repair: bool,
    max_rate: int | None,
) -> None:
    from ....domain.store.io_budget import IoBudget
    from ....domain.store.repair import repair as repaired
    from ....domain.store.verify import verify_store

    def count(done: int, total: int) -> None:
        check.tiles = total
        advance(done, total)

    pace: Callable[[int], None] = (
        (lambda read_bytes: None) if max_rate is None else IoBudget(max_rate, runtime.clock).spend
    )
    found = verify_store(
        runtime.rows, runtime.files, count, pace=pace, start_at=progress.place, checkpoint=progress.reach
    )
    try:
        for finding in found:
            if repair:
                finding = repaired(finding, runtime.rows, runtime.files, runtime.recorder)
            check.note(_finding_facts(finding))
    except BaseException:
        with suppress(OSError):  # what ended the check is what the operator must hear of
            progress.save()
        raise


def _check_index(runtime: Runtime) -> list[dict[str, Any]]:
    if os.environ.get("BUILD_FAISS_INDEX") == "0" or not runtime.config.index_folder.is_dir():
        return []
    from ...faiss.check import check_generations

    return [attrs.asdict(finding) for finding in check_generations(runtime.config.index_folder)]


def _finding_facts(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "tile": str(finding.tile_id),
        "detail": finding.detail,
        "mended": finding.mended,
        "fetch_again": finding.fetch_again,
        "kept_at": finding.kept_at,
        "remedy": finding.remedy,
    }


def _facts(check: Check) -> dict[str, Any]:
    return {
        "tiles": check.tiles,
        **({} if check.reconciled is None else {"reconciled": check.reconciled}),
        "findings": check.findings,
        "fetch_again": check.fetch_again,
        "index": check.index,
    }


def _tell(check: Check) -> None:
    mended = check.reconciled
    if mended is not None:
        write_line(
            f"{mended['orphans_removed']} files without a row and {mended['temporaries_removed']} temporary "
            f"files removed, {mended['sidecars_restored']} sidecars restored"
        )
    if check.findings:
        _tell_findings(check.findings)
    else:
        write_line(f"{check.tiles} tiles: every row has its file, every file its hash, row and sidecar")
    for generation in check.index:
        write_line(f"index generation {generation['generation']}: {generation['detail']}")
        write_line(f"  {generation['remedy']}")
    for tile in islice(check.fetch_again, _LISTED_FINDINGS):
        write_line(f"fetch again: {tile}")
    if len(check.fetch_again) > _LISTED_FINDINGS:
        write_line(f"and {len(check.fetch_again) - _LISTED_FINDINGS} more; --json lists them all")


def _tell_findings(findings: Sequence[dict[str, Any]]) -> None:
    write_table(
        ["finding", "tile", "detail"],
        [[f["kind"], f["tile"], f["detail"]] for f in islice(findings, _LISTED_FINDINGS)],
    )
    if len(findings) > _LISTED_FINDINGS:
        write_line(f"and {len(findings) - _LISTED_FINDINGS} more; --json lists them all")
    for (kind, remedy), number in Counter((f["kind"], f["remedy"]) for f in findings).items():
        write_line(f"{number} x {kind}: {remedy}")
