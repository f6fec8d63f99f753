"""`aerotile ingest`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....domain.errors import CaptureTimeInFutureError
from ....domain.intake.report import Refusal
from ....domain.values.tiles import TileSource
from ...input_files.folder_notes import read_folder_notes
from ...input_files.tile_folder import FolderProblem, TileFolder, count_outside, scan_tile_folder
from ...input_files.tile_scheme import TileScheme, settle_scheme
from ..arguments import EXISTING_FOLDER, moment, zoom
from ..command import AerotileCommand
from ..coverage import check_map_file, coverage_facts, map_option, write_coverage
from ..errors import BadInputError, JobFailedError
from ..intake_output import (
    draw_map,
    eviction_facts,
    evictions_error,
    list_refusals,
    print_evictions,
    print_pictures,
    refusal_facts,
    warn_of_evictions,
)
from ..output import in_words, json_option, write_json, write_line
from ..progress import progress_bar
from ..session import Session

if TYPE_CHECKING:
    from ....domain.intake.report import IntakeReport

_NOT_KNOWN = ("whether a picture ends before its size does", "whether a picture is of one colour")
"""What only decoding shows."""


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile ingest tiles/ --captured-at 2024-05-01
  aerotile ingest tiles/ --captured-at 2024-05-01 --scheme tms --map covered.png
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
    "--scheme",
    type=click.Choice([scheme.value for scheme in TileScheme]),
    help="The order of a path's numbers: zoom/x/y, the same with y from the south, or zoom/y/x.  "
    "[default: what tilemapresource.xml or metadata.json says, or xyz]",
)
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
@map_option
@json_option
@click.pass_obj
def ingest(
    session: Session,
    folder: Path,
    captured_at: datetime,
    source: str,
    zooms: tuple[int, ...],
    scheme: str | None,
    batch_size: int,
    no_decode: bool,
    map_file: Path | None,
    as_json: bool,
) -> None:
    """Bring a folder of tiles (zoom/x/y.jpg) into the store.

    Each tile passes every gate on its own: a bad tile is refused by name, the others are stored. When a
    sidecar y.jpg.sha256 lies beside a tile, the tile must have that hash. A tilemapresource.xml or
    metadata.json in the folder says where its tiles lie. Run it again after an interruption: tiles that are
    in the store already count as present. The exit code is 1 when anything in a tile's place was refused, or
    when a tile was evicted.
    """
    check_map_file(map_file)
    notes = read_folder_notes(folder)
    settled = settle_scheme(None if scheme is None else TileScheme(scheme), notes)
    found = scan_tile_folder(folder, zooms, settled)
    if not found.tiles and not found.problems:
        raise _nothing_found(folder, zooms, found)
    outside = {note.file: count_outside(note, found.tiles, settled) for note in notes}
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
                    before_evictions=warn_of_evictions,
                )
        except CaptureTimeInFutureError as error:
            raise BadInputError(str(error), remedy=error.remedy) from error
        seconds = time.monotonic() - started
    refusals = [_refusal_of(problem, source) for problem in found.problems] + report.refusals
    map_error = draw_map(map_file, report)
    if as_json:
        call = {
            "folder": str(folder),
            "source": source,
            "scheme": settled.value,
            "captured_at": captured_at.isoformat(),
        }
        write_json(call | _facts(report, found, refusals, outside, seconds))
    else:
        # An error at the end that is no other names a single refusal.
        if len(refusals) > 1 or report.stopped_by is not None or map_error is not None:
            list_refusals(refusals)
        _print(report, found, refusals, outside, settled, seconds)
    if map_error is not None:
        raise map_error
    if report.stopped_by is not None:
        raise report.stopped_by
    if refusals or found.left_out:
        raise _refusals_error(refusals, found)
    if report.evicted.count:
        raise evictions_error(report.evicted)


def _nothing_found(folder: Path, zooms: tuple[int, ...], found: TileFolder) -> BadInputError:
    at = f" at zoom {', '.join(map(str, zooms))}" if zooms else ""
    if found.left_out:
        return BadInputError(
            f"{folder} holds no JPEG tiles{at}, but {_in_kinds(found)}", remedy="convert the tiles to JPEG"
        )
    return BadInputError(
        f"{folder} holds no tiles zoom/x/y.jpg{at}", remedy="name the folder that holds the zoom folders"
    )


def _in_kinds(found: TileFolder) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.left_out.items()))


def _refusal_of(problem: FolderProblem, source: str) -> Refusal:
    return Refusal(problem.file, f"{source}/{problem.tile}", "FolderProblem", problem.message, problem.remedy)


def _refusals_error(refusals: Sequence[Refusal], found: TileFolder) -> JobFailedError:
    count = len(found.tiles) + len(found.problems)
    parts = []
    remedy = "mend or remove it and run again" if len(refusals) == 1 else "mend or remove them and run again"
    if len(refusals) == 1:
        parts.append(f"1 of {count} tiles was refused: {refusals[0].file}: {refusals[0].message}")
        remedy = refusals[0].remedy or remedy
    elif refusals:
        parts.append(f"{len(refusals)} of {count} tiles were refused")
    if found.left_out:
        parts.append(f"{_in_kinds(found)} left out")
        remedy = remedy if refusals else "convert them to JPEG and run again"
    return JobFailedError("; ".join(parts), remedy=f"{remedy}; the others are in the store")


def _facts(
    report: IntakeReport,
    found: TileFolder,
    refusals: Sequence[Refusal],
    outside: Mapping[str, int],
    seconds: float,
) -> dict[str, Any]:
    return {
        "found": len(found.tiles) + len(found.problems),
        "stored": report.stored,
        "downgraded": report.downgraded,
        "present": report.present,
        "refused": len(refusals),
        "left": len(found.tiles) - report.done,
        "left_out": dict(sorted(found.left_out.items())),
        "ignored_files": found.ignored,
        "outside_bounds": dict(outside),
        "stored_bytes": report.stored_bytes,
        "decoded": report.blank is not None,
        "blank": report.blank,
        "repeated": report.repeats.total,
        "not_known": list(_NOT_KNOWN) if report.blank is None else [],
        "coverage": coverage_facts(report.coverage()),
        "seconds": round(seconds, 3),
        "stored_per_second": round(report.stored / seconds, 1) if seconds else 0.0,
        "evicted": eviction_facts(report.evicted),
        "stopped_by": None if report.stopped_by is None else str(report.stopped_by),
        "refusals": refusal_facts(refusals),
    }


def _print(
    report: IntakeReport,
    found: TileFolder,
    refusals: Sequence[Refusal],
    outside: Mapping[str, int],
    scheme: TileScheme,
    seconds: float,
) -> None:
    print_evictions(report.evicted)
    left = len(found.tiles) - report.done
    rate = report.stored / seconds if seconds else 0.0
    write_line(
        f"{len(found.tiles) + len(found.problems)} tiles found: "
        f"{report.stored} stored ({report.downgraded} of them downgraded), {report.present} already present, "
        f"{len(refusals)} refused{f', {left} left' if left else ''}; "
        f"{in_words(report.stored_bytes)} in {seconds:.1f} s, {rate:.0f} tiles/s; "
        f"read in {scheme.value} order"
    )
    if found.left_out:
        write_line(f"{_in_kinds(found)} left out")
    if found.ignored:
        write_line(f"{found.ignored} files ignored: neither a picture in a tile's place nor a sidecar")
    for file, count in outside.items():
        if count:
            write_line(f"{count} tiles lie outside the bounds that {file} names")
    if report.blank is None:
        write_line(f"not decoded, so not known: {'; '.join(_NOT_KNOWN)}")
    print_pictures(report)
    write_coverage(coverage_facts(report.coverage()))
