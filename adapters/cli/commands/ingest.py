"""`aerotile ingest`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import attrs
import click

from ....domain.errors import (
    AerotileError,
    CacheBudgetExhaustedError,
    CaptureTimeInFutureError,
    StoreUnavailableError,
)
from ....domain.policies.freshness import check_capture_time
from ....domain.store.write_batches import IN_FLIGHT
from ....domain.values.tiles import TileSource
from ..arguments import EXISTING_FOLDER, moment, zoom
from ..command import AerotileCommand
from ..errors import BadInputError, JobFailedError, one_line
from ..ingest_run import Ingest, IngestReport, Refusal
from ..output import in_words, json_option, write_json, write_line
from ..progress import progress_bar
from ..session import Session
from ..xyz_folder import XyzFolder, scan_xyz_folder

_LISTED_REFUSALS = 20


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
@json_option
@click.pass_obj
def ingest(
    session: Session,
    folder: Path,
    captured_at: datetime,
    source: str,
    zooms: tuple[int, ...],
    batch_size: int,
    as_json: bool,
) -> None:
    """Bring a folder of XYZ tiles (zoom/x/y.jpg) into the store.

    Each tile passes every gate on its own: a bad one is named and refused, the others go in. Where a sidecar
    y.jpg.sha256 lies beside a tile, the tile must have that hash. Run again after an interruption: tiles
    that are in the store already count as present. The exit code is 1 when any tile was refused.
    """
    found = scan_xyz_folder(folder, zooms)
    if not found.tiles:
        at = f" at zoom {', '.join(map(str, zooms))}" if zooms else ""
        raise BadInputError(
            f"{folder} holds no tiles zoom/x/y.jpg{at}", remedy="name the folder that holds the zoom folders"
        )
    with session.runtime() as runtime:
        _refuse_future(captured_at, runtime.clock.now())
        room = session.config.budget.max_bytes - runtime.metadata_store.total_disk_bytes()
        run = Ingest(
            runtime.tile_store,
            TileSource(source),
            captured_at,
            session.config.tiles.tile_size_pixels,
            # A batch that needs room can't evict what another one has not committed yet.
            at_once=min(IN_FLIGHT, session.config.database.pool_max_size) if found.total_bytes <= room else 1,
        )
        if found.total_bytes > room:
            _warn_of_evictions(run.needed_bytes(found.tiles), max(0, room))
        stopped_by: AerotileError | None = None
        started = time.monotonic()
        batches = [found.tiles[i : i + batch_size] for i in range(0, len(found.tiles), batch_size)]
        try:
            with progress_bar("tiles", len(found.tiles)) as advance:
                for done in run.take(batches):
                    advance(done, len(found.tiles))
        except (CacheBudgetExhaustedError, StoreUnavailableError) as error:
            stopped_by = error
        seconds = time.monotonic() - started
    _print_report(run.report, found, seconds, stopped_by, as_json=as_json, call=(folder, source, captured_at))
    if stopped_by is not None:
        raise stopped_by
    if run.report.counts["refused"]:
        raise _refusals_error(run.report.refusals, len(found.tiles))


def _refuse_future(captured_at: datetime, now: datetime) -> None:
    try:
        check_capture_time(captured_at, now)
    except CaptureTimeInFutureError as error:
        raise BadInputError(str(error), remedy=error.remedy) from error


def _warn_of_evictions(needed: int, room: int) -> None:
    if needed > room:
        click.echo(
            f"warning: new tiles need {in_words(needed)}, the budget has room for {in_words(room)}; "
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


def _print_report(
    report: IngestReport,
    found: XyzFolder,
    seconds: float,
    stopped_by: AerotileError | None,
    *,
    as_json: bool,
    call: tuple[Path, str, datetime],
) -> None:
    counts = {name: report.counts[name] for name in ("stored", "downgraded", "present", "refused")}
    left = len(found.tiles) - report.done
    rate = report.counts["stored"] / seconds if seconds else 0.0
    if as_json:
        folder, source, captured_at = call
        write_json(
            {
                "folder": str(folder),
                "source": source,
                "captured_at": captured_at.isoformat(),
                "found": len(found.tiles),
                **counts,
                "left": left,
                "ignored_files": found.ignored,
                "stored_bytes": report.stored_bytes,
                "seconds": round(seconds, 3),
                "stored_per_second": round(rate, 1),
                "stopped_by": None if stopped_by is None else str(stopped_by),
                "refusals": [attrs.asdict(refusal) for refusal in report.refusals],
            }
        )
        return
    # A single refusal is what the error at the end names.
    if len(report.refusals) > 1 or stopped_by is not None:
        for refusal in report.refusals[:_LISTED_REFUSALS]:
            remedy = f" — {refusal.remedy}" if refusal.remedy else ""
            click.echo(one_line(f"refused: {refusal.file}: {refusal.message}{remedy}"), err=True)
    if len(report.refusals) > _LISTED_REFUSALS:
        click.echo(
            f"refused: {len(report.refusals) - _LISTED_REFUSALS} more; --json lists them all", err=True
        )
    write_line(
        f"{len(found.tiles)} tiles found: {counts['stored']} stored "
        f"({counts['downgraded']} of them downgraded), "
        f"{counts['present']} already present, {counts['refused']} refused"
        f"{f', {left} left' if left else ''}; "
        f"{in_words(report.stored_bytes)} in {seconds:.1f} s, {rate:.0f} tiles/s"
    )
