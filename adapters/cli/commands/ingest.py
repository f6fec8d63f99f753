"""`aerotile ingest`."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....domain.errors import CaptureTimeInFutureError, DatasetError
from ....domain.intake.admit_dataset import admit_dataset
from ....domain.intake.compare_stored import OnContest
from ....domain.intake.report import IntakeReport, Refusal
from ....domain.values.datasets import DigestOf, SourceDigest
from ....domain.values.tiles import TileSource
from ...input_files.folder_notes import read_folder_notes
from ...input_files.tile_folder import FolderProblem, TileFolder, count_outside, scan_tile_folder
from ...input_files.tile_scheme import TileScheme, settle_scheme
from ..arguments import EXISTING_FOLDER, zoom
from ..capture_times import add_capture_time_options, chosen_times
from ..command import command
from ..coverage import check_map_file, map_option
from ..errors import BadInputError, as_bad_input
from ..ingest_output import in_kinds, ingest_facts, print_ingest, refusals_error
from ..intake_output import (
    draw_map,
    evictions_error,
    list_contests,
    list_refusals,
    stored_in_words,
    warn_of_evictions,
)
from ..output import json_option, write_json, write_line
from ..progress import progress_bar
from ..session import Session
from ..shared_options import check_keep, dataset_option, keep_option, maker_option

if TYPE_CHECKING:
    from ...composition import Runtime


@command(
    "aerotile ingest tiles/ --captured-at 2024-05-01",
    "aerotile ingest tiles/ --captured-at 2024-05-01 --scheme tms --map covered.png",
    "aerotile ingest newer/ --captured-at 2025-04-01 --replace",
    "aerotile ingest tiles/ --dataset ortho-2024 --dates dates.csv",
    "aerotile ingest tiles/ --source satellite_provider --captured-at 2024-05-01T10:30:00Z \\",
    "    --zoom 16 --zoom 17",
)
@click.argument("folder", type=EXISTING_FOLDER)
@add_capture_time_options
@dataset_option
@keep_option
@maker_option
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
    "--replace",
    is_flag=True,
    help="Where the store holds a tile with older imagery, put this one in its place.",
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
    captured_at: datetime | None,
    dates: Path | None,
    stac: Path | None,
    dataset: str | None,
    keep: bool,
    source: str,
    zooms: tuple[int, ...],
    scheme: str | None,
    batch_size: int,
    replace: bool,
    no_decode: bool,
    map_file: Path | None,
    as_json: bool,
) -> None:
    """Bring a folder of tiles (zoom/x/y.jpg) into the store.

    Each tile passes every gate on its own: a bad tile is refused by name, the others are stored. When a
    sidecar y.jpg.sha256 lies beside a tile, the tile must have that hash. A tilemapresource.xml or
    metadata.json in the folder says where its tiles lie. Run it again after an interruption: tiles that are
    in the store already count as present. The exit code is 1 when anything in a tile's place was refused or
    left out, or when a tile was evicted.

    With --dataset the date is the dataset's unless another one is given. A dataset that is not defined, may
    not be stored offline, or is of a folder that has changed since is refused before a byte is written. A
    place that another dataset holds is contested: the stored tile stays, and the exit code is 1 without
    --keep.

    A tile that the store holds with other content is refused or contested. With --replace newer imagery takes
    its place, and imagery as old or older is refused by name.
    """
    check_map_file(map_file)
    chosen = chosen_times(captured_at, dates, stac)
    if chosen.times is None and dataset is None:
        raise BadInputError(
            "it is not known when the tiles were captured", remedy="give --captured-at, --dates or --stac"
        )
    check_keep(keep, dataset)
    if keep and replace:
        raise BadInputError("--keep and --replace contradict each other", remedy="give one of them")
    on_contest = OnContest.KEEP if keep else OnContest.REPLACE if replace else OnContest.REFUSE
    notes = read_folder_notes(folder)
    settled = settle_scheme(None if scheme is None else TileScheme(scheme), notes)
    found = scan_tile_folder(folder, zooms, settled)
    if not found.tiles and not found.problems:
        raise _nothing_found(folder, zooms, found)
    outside = {note.file: count_outside(note, found.tiles, settled) for note in notes}
    with session.runtime() as runtime:
        with as_bad_input(CaptureTimeInFutureError):
            chosen.check(runtime.clock.now())
        digest, not_compared = None, None
        if dataset is not None:
            with as_bad_input(DatasetError):
                digest, not_compared = _source_digest(runtime, dataset, folder, settled)
        intake = runtime.tile_intake
        report = IntakeReport(blank=None if no_decode else 0)
        started = time.monotonic()
        try:
            with (
                as_bad_input(CaptureTimeInFutureError, DatasetError),
                progress_bar("tiles", len(found.tiles)) as advance,
                intake.tally_evictions() as report.evicted,
            ):
                intake.take_in(
                    found.tiles,
                    source=TileSource(source),
                    captured_at=chosen.times,
                    dataset=dataset,
                    source_digest=digest,
                    on_contest=on_contest,
                    batch_size=batch_size,
                    decode=not no_decode,
                    progress=advance,
                    before_evictions=warn_of_evictions,
                    report=report,
                )
        except KeyboardInterrupt as error:
            ended: BaseException | None = error
            click.echo(
                f"{stored_in_words(report)}, {report.present} already present, {report.refused} refused, "
                "beside the batches under way; the same command goes on from there",
                err=True,
            )
        else:
            ended = report.stopped_by
        seconds = time.monotonic() - started
    refusals = [_refusal_of(problem, source) for problem in found.problems] + report.refusals
    map_error = draw_map(map_file, report)
    if as_json:
        call = {
            "folder": str(folder),
            "source": source,
            "scheme": settled.value,
            "captured_at": None if chosen.one_date is None else chosen.one_date.isoformat(),
            "captured_from": chosen.origin or "the dataset",
            "dataset": dataset,
            "source_digest_not_compared": not_compared,
        }
        write_json(call | ingest_facts(report, found, refusals, outside, seconds, ended))
    else:
        # An error at the end that is no other names a single refusal.
        if len(refusals) > 1 or ended is not None or map_error is not None:
            list_refusals(refusals)
        list_contests(report)
        print_ingest(report, found, refusals, outside, settled, seconds)
        if not_compared is not None:
            write_line(f"the folder was not compared with the dataset: {not_compared}")
    if map_error is not None:
        raise map_error
    if ended is not None:
        raise ended
    if refusals or found.left_out or report.undated or report.contests:
        raise refusals_error(report, refusals, found)
    if report.evicted.count:
        raise evictions_error(report.evicted)


def _source_digest(
    runtime: Runtime, name: str, folder: Path, scheme: TileScheme
) -> tuple[SourceDigest | None, str | None]:
    """The digest of the folder's pictures where the dataset has one of a folder, or why it is not compared.

    Raises `DatasetError` where no tile of the dataset may go in, `InputFileError` for a folder without one.
    """
    from ...input_files.source_digest import digest_of_folder

    dataset = admit_dataset(runtime.dataset_store, name)
    if dataset.digest_of is not DigestOf.FOLDER:
        return None, f"the digest of {name} is that of its {dataset.digest_of.value} {dataset.source}"
    return digest_of_folder(folder, scheme)[0], None


def _nothing_found(folder: Path, zooms: tuple[int, ...], found: TileFolder) -> BadInputError:
    at = f" at zoom {', '.join(map(str, zooms))}" if zooms else ""
    if found.left_out:
        return BadInputError(
            f"{folder} holds no JPEG tiles{at}, but {in_kinds(found)}", remedy="convert the tiles to JPEG"
        )
    return BadInputError(
        f"{folder} holds no tiles zoom/x/y.jpg{at}", remedy="name the folder that holds the zoom folders"
    )


def _refusal_of(problem: FolderProblem, source: str) -> Refusal:
    return Refusal(problem.file, f"{source}/{problem.tile}", "FolderProblem", problem.message, problem.remedy)
