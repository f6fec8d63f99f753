"""`aerotile ingest`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ....domain.errors import CaptureTimeInFutureError
from ....domain.values.tiles import TileSource
from ...input_files.xyz_folder import XyzFolder, scan_xyz_folder
from ..arguments import EXISTING_FOLDER, moment, zoom
from ..command import AerotileCommand
from ..errors import BadInputError, JobFailedError, one_line
from ..output import in_words, json_option, write_json, write_line
from ..progress import progress_bar
from ..session import Session

if TYPE_CHECKING:
    from ....domain.intake.report import IntakeReport, Refusal
    from ....domain.values.eviction_tally import EvictionTally

_LISTED_REFUSALS = 20
_NOT_KNOWN = ("whether a picture ends before its size does", "whether a picture is of one colour")
"""What only decoding shows."""
_LISTED_EVICTIONS = 20


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile ingest tiles/ --captured-at 2024-05-01
  aerotile ingest tiles/ --source satellite_provider --captured-at 2024-05-01T10:30:00Z --zoom 16 --zoom 17
""",
)
@click.argument("folder", type=EXISTING_FOLDER)
@click.option(
    "--captured-at",
    type=moment,
    required=True,
    metavar="DATE",
    help="When the ground looked like that: a date, or a date and time with an offset.",
)
@click.option(
    "--source",
    type=click.Choice([TileSource.IMPORTED.value, TileSource.SATELLITE_PROVIDER.value]),
    default=TileSource.IMPORTED.value,
    show_default=True,
    help="Who made the tiles.",
)
@click.option("--zoom", "zooms", type=zoom, multiple=True, help="Only this zoom; may be given again.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="Tiles that become durable together.",
)
@click.option(
    "--no-decode",
    is_flag=True,
    help="Don't decode the pictures: whether one ends too early or is of one colour is then not known.",
)
@json_option
@click.pass_obj
def ingest(
    session: Session,
    folder: Path,
    captured_at: datetime,
    source: str,
    zooms: tuple[int, ...],
    batch_size: int,
    no_decode: bool,
    as_json: bool,
) -> None:
    """Bring a folder of XYZ tiles (zoom/x/y.jpg) into the store.

    Each tile passes every gate on its own: a bad tile is refused by name, the others are stored. When a
    sidecar y.jpg.sha256 lies beside a tile, the tile must have that hash. Run it again after an interruption:
    tiles that are in the store already count as present. The exit code is 1 when any tile was refused or
    evicted.
    """
    found = scan_xyz_folder(folder, zooms)
    if not found.tiles:
        at = f" at zoom {', '.join(map(str, zooms))}" if zooms else ""
        raise BadInputError(
            f"{folder} holds no tiles zoom/x/y.jpg{at}", remedy="name the folder that holds the zoom folders"
        )
    with session.runtime() as runtime:
        intake = runtime.tile_intake
        started = time.monotonic()
        try:
            with progress_bar("tiles", len(found.tiles)) as advance:
                report = intake.take_in(
                    found.tiles,
                    source=TileSource(source),
                    captured_at=captured_at,
                    batch_size=batch_size,
                    decode=not no_decode,
                    progress=advance,
                    before_evictions=_warn_of_evictions,
                )
        except CaptureTimeInFutureError as error:
            raise BadInputError(str(error), remedy=error.remedy) from error
        seconds = time.monotonic() - started
    if as_json:
        call = {"folder": str(folder), "source": source, "captured_at": captured_at.isoformat()}
        write_json(call | _facts(report, found, seconds))
    else:
        _print(report, found, seconds)
    if report.stopped_by is not None:
        raise report.stopped_by
    if report.refusals:
        raise _refusals_error(report.refusals, len(found.tiles))
    if report.evicted.count:
        raise JobFailedError(
            f"{report.evicted.count} tiles were evicted to make room",
            remedy="raise budget.max_bytes and ingest them again; aerotile pin keeps tiles from eviction",
        )


def _warn_of_evictions(needed_bytes: int, free_bytes: int) -> None:
    click.echo(
        f"warning: new tiles need {in_words(needed_bytes)}, the budget has room for {in_words(free_bytes)}; "
        "the least recently used tiles make place for them",
        err=True,
    )


def _refusals_error(refusals: Sequence[Refusal], found: int) -> JobFailedError:
    remedy = "mend or remove it and run again" if len(refusals) == 1 else "mend or remove them and run again"
    if len(refusals) == 1:
        message = f"1 of {found} tiles was refused: {refusals[0].file}: {refusals[0].message}"
        remedy = refusals[0].remedy or remedy
    else:
        message = f"{len(refusals)} of {found} tiles were refused"
    return JobFailedError(message, remedy=f"{remedy}; the others are in the store")


def _print_evictions(evicted: EvictionTally) -> None:
    for tile_id in evicted.listed[:_LISTED_EVICTIONS]:
        click.echo(f"evicted: {tile_id}", err=True)
    if evicted.count > _LISTED_EVICTIONS:
        click.echo(
            f"evicted: {evicted.count - _LISTED_EVICTIONS} more; --json lists {len(evicted.listed)}", err=True
        )
    if evicted.count:
        write_line(f"{evicted.count} tiles evicted to make room, {in_words(evicted.freed_bytes)} freed")


def _facts(report: IntakeReport, found: XyzFolder, seconds: float) -> dict[str, Any]:
    return {
        "found": len(found.tiles),
        "stored": report.stored,
        "downgraded": report.downgraded,
        "present": report.present,
        "refused": report.refused,
        "left": len(found.tiles) - report.done,
        "ignored_files": found.ignored,
        "stored_bytes": report.stored_bytes,
        "decoded": report.blank is not None,
        "blank": report.blank,
        "repeated": report.repeats.total,
        "not_known": list(_NOT_KNOWN) if report.blank is None else [],
        "seconds": round(seconds, 3),
        "stored_per_second": round(report.stored / seconds, 1) if seconds else 0.0,
        "evicted": {
            "count": report.evicted.count,
            "freed_bytes": report.evicted.freed_bytes,
            "tiles": [str(tile_id) for tile_id in report.evicted.listed],
        },
        "stopped_by": None if report.stopped_by is None else str(report.stopped_by),
        "refusals": [
            attrs.asdict(refusal) | {"message": one_line(refusal.message)} for refusal in report.refusals
        ],
    }


def _print(report: IntakeReport, found: XyzFolder, seconds: float) -> None:
    # The error at the end names a single refusal.
    if report.refused > 1 or report.stopped_by is not None:
        for refusal in report.refusals[:_LISTED_REFUSALS]:
            remedy = f" — {refusal.remedy}" if refusal.remedy else ""
            click.echo(one_line(f"refused: {refusal.file}: {refusal.message}{remedy}"), err=True)
    if report.refused > _LISTED_REFUSALS:
        click.echo(f"refused: {report.refused - _LISTED_REFUSALS} more; --json lists them all", err=True)
    _print_evictions(report.evicted)
    left = len(found.tiles) - report.done
    rate = report.stored / seconds if seconds else 0.0
    write_line(
        f"{len(found.tiles)} tiles found: {report.stored} stored ({report.downgraded} of them downgraded), "
        f"{report.present} already present, {report.refused} refused{f', {left} left' if left else ''}; "
        f"{in_words(report.stored_bytes)} in {seconds:.1f} s, {rate:.0f} tiles/s"
    )
    if report.blank is None:
        write_line(f"not decoded, so not known: {'; '.join(_NOT_KNOWN)}")
    elif report.blank:
        write_line(f"{report.blank} blank: all of one colour")
    if most := report.repeats.most():
        count, first = most
        write_line(
            f"{report.repeats.total} repeated: their bytes lie at several places, "
            f"most often those of {first} ({count} times)"
        )
