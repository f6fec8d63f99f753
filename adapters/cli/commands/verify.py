"""`aerotile verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import attrs
import click

from ....domain.values.counted import counted
from ..command import command
from ..errors import JobFailedError
from ..output import json_option, write_json, write_line, write_table
from ..progress import progress_bar
from ..session import Session
from ..shared_options import max_rate_option, resume_option
from ..verify_progress import VerifyProgress, finding_facts
from .index import (
    agreement_facts,
    agreement_line,
    contents_facts,
    contents_line,
    nothing_known,
    undescribed_line,
)

if TYPE_CHECKING:
    from ....domain.policies.index_agreement import ChangedTiles, IndexAgreement
    from ....domain.store.check import StoreCheck
    from ....domain.store.verify import Finding

_LISTED_FINDINGS = 20
TILES_TO_FETCH = 3
"""Exit code: every finding is repaired, but tiles were lost and have to be fetched again."""


@command(
    "aerotile verify",
    'aerotile verify --max-rate "20 MiB"     # leave the disk to others; Ctrl-C, then --resume',
    "aerotile verify --repair --json > findings.json",
    more="""\

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
@resume_option
@max_rate_option
@json_option
@click.pass_obj
def verify(
    session: Session, reconcile: bool, repair: bool, resume: bool, max_rate: int | None, as_json: bool
) -> None:
    """Read and hash every tile, and compare rows, files, sidecars and the generations of the index.

    A sidecar that is missing or wrong beside an intact tile is restored; without --reconcile or --repair
    nothing else is changed. Each finding names its remedy. Run it while no program writes: a tile that is
    being written may show up as one without a row.
    """
    with session.existing_runtime() as runtime, progress_bar("tiles") as advance:
        reconciled = attrs.asdict(runtime.tile_store.opened) if reconcile or repair else None
        progress = VerifyProgress(runtime.config.root, runtime.rows.store_id())
        if resume:
            progress.resume()
        else:
            progress.begin()
        check = progress.check
        try:
            runtime.check_store(
                check,
                repairing=repair,
                max_bytes_per_s=max_rate,
                progress=advance,
                checkpoint=progress.save_now_and_then,
                checked=progress.checked.add,
            )
        except BaseException:
            with suppress(OSError):  # the operator has to see the error that ended the check
                progress.leave()
            raise
        index = [attrs.asdict(finding) for finding in runtime.check_index()]
        agreement, changed = runtime.index_agreement() or (None, None)
        in_force = runtime.recall_lists.read()
        recalled = 0 if in_force is None else runtime.recalled_in_store(in_force.recalls)
        progress.finish()
    if as_json:
        of_recall = {} if in_force is None else {"recalled": recalled}
        write_json(_facts(check, reconciled, index, agreement, changed) | of_recall)
    else:
        _print(check, reconciled, index)
        if agreement is not None:
            write_line(agreement_line(agreement))
            write_line(undescribed_line(agreement))
            write_line(contents_line(changed))
        if in_force is not None:
            write_line(
                f"{counted(recalled, 'tile is', 'tiles are')} recalled by list "
                f"{in_force.recalls.number}: no read gives them"
            )
    if agreement is not None and agreement.none_is_known:
        raise nothing_known(agreement)
    if left := check.left + len(index):
        raise JobFailedError(
            f"{counted(left, 'finding')} in {counted(check.tiles, 'tile')}", remedy="see the remedy of each"
        )
    if check.fetch_again:
        raise click.exceptions.Exit(TILES_TO_FETCH)


def _facts(
    check: StoreCheck,
    reconciled: dict[str, int] | None,
    index: list[dict[str, Any]],
    agreement: IndexAgreement | None,
    changed: ChangedTiles | None,
) -> dict[str, Any]:
    return {
        "tiles": check.tiles,
        **({} if reconciled is None else {"reconciled": reconciled}),
        "findings": [finding_facts(finding) for finding in check.findings],
        "fetch_again": check.fetch_again,
        "index": index,
        "index_agreement": None
        if agreement is None
        else agreement_facts(agreement) | contents_facts(changed),
    }


def _print(check: StoreCheck, reconciled: dict[str, int] | None, index: list[dict[str, Any]]) -> None:
    if reconciled is not None:
        write_line(
            f"{counted(reconciled['orphans_removed'], 'file')} without a row and "
            f"{counted(reconciled['temporaries_removed'], 'temporary file')} "
            f"removed, {counted(reconciled['sidecars_restored'], 'sidecar')} restored"
        )
    if check.findings:
        _print_findings(check.findings)
    else:
        write_line(
            f"{counted(check.tiles, 'tile')}: every row has its file, every file its hash, row and sidecar"
        )
    for generation in index:
        write_line(f"index generation {generation['generation']}: {generation['detail']}")
        write_line(f"  {generation['remedy']}")
    for tile in islice(check.fetch_again, _LISTED_FINDINGS):
        write_line(f"fetch again: {tile}")
    if len(check.fetch_again) > _LISTED_FINDINGS:
        write_line(f"and {len(check.fetch_again) - _LISTED_FINDINGS} more; --json lists them all")


def _print_findings(findings: Sequence[Finding]) -> None:
    write_table(
        ["finding", "tile", "detail"],
        [[f.kind.value, str(f.tile_id), f.detail] for f in islice(findings, _LISTED_FINDINGS)],
    )
    if len(findings) > _LISTED_FINDINGS:
        write_line(f"and {len(findings) - _LISTED_FINDINGS} more; --json lists them all")
    for (kind, remedy), number in Counter((f.kind.value, f.remedy) for f in findings).items():
        write_line(f"{number} x {kind}: {remedy}")
