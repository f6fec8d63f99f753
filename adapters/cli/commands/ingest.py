"""`aerotile ingest`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from ....domain.errors import CaptureTimeInFutureError, DatasetError
from ....domain.intake.admit_dataset import admit_dataset
from ....domain.intake.report import IntakeReport, Refusal
from ....domain.intake.terms import IntakeTerms
from ....domain.values.datasets import DigestOf, SourceDigest
from ....domain.values.tiles import TileSource
from ...input_files.folder_notes import read_folder_notes
from ...input_files.tile_folder import FolderProblem, TileFolder, count_outside, scan_tile_folder
from ...input_files.tile_scheme import TileScheme, settle_scheme
from ..arguments import EXISTING_FOLDER, WholeRange, zoom
from ..capture_times import CaptureTimeOptions, ChosenTimes, add_capture_time_options
from ..command import command
from ..contest_options import ContestOptions, dataset_option, gather_contests, keep_option
from ..coverage import check_map_file, map_option
from ..errors import BadInputError, as_bad_input
from ..ingest_output import IngestEnd, in_kinds
from ..intake_output import draw_map, stored_in_words, warn_of_evictions
from ..option_groups import gather
from ..output import json_option
from ..progress import progress_bar
from ..session import Session
from ..shared_options import maker_option

if TYPE_CHECKING:
    from ...composition import Runtime


@attrs.frozen
class _FolderOptions:
    """The folder, and which of its tiles lie where."""

    folder: Path
    zooms: tuple[int, ...]
    scheme: str | None

    def look_into(self) -> tuple[TileScheme, TileFolder, dict[str, int]]:
        """The order of its rows, its tiles, and how many lie outside the bounds by each file of notes."""
        notes = read_folder_notes(self.folder)
        settled = settle_scheme(None if self.scheme is None else TileScheme(self.scheme), notes)
        found = scan_tile_folder(self.folder, self.zooms, settled)
        if not found.tiles and not found.problems:
            raise _nothing_found(self.folder, self.zooms, found)
        return settled, found, {note.file: count_outside(note, found.tiles, settled) for note in notes}


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
    type=WholeRange(1, 4096),
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
@gather_contests
@gather("chosen_folder", _FolderOptions)
def ingest(
    session: Session,
    chosen_folder: _FolderOptions,
    capture_times: CaptureTimeOptions,
    contests: ContestOptions,
    source: str,
    batch_size: int,
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
    check_map_file(map_file, session.config)
    chosen = capture_times.read()
    dataset = contests.dataset
    if chosen.times is None and dataset is None:
        raise BadInputError(
            "it is not known when the tiles were captured", remedy="give --captured-at, --dates or --stac"
        )
    on_contest = contests.on_contest()
    folder = chosen_folder.folder
    settled, found, outside = chosen_folder.look_into()
    with session.runtime() as runtime:
        with as_bad_input(CaptureTimeInFutureError, DatasetError):
            chosen.check(runtime.clock.now())
            digest, not_compared = _source_digest(runtime, dataset, folder, settled)
        terms = IntakeTerms(
            source=TileSource(source),
            captured_at=chosen.times,
            dataset=dataset,
            source_digest=digest,
            on_contest=on_contest,
        )
        report, seconds, ended = _take_in(runtime, found, terms, batch_size, decode=not no_decode)
    refusals = [_refusal_of(problem, source) for problem in found.problems] + report.refusals
    end = IngestEnd(report, found, refusals, outside, settled, seconds, ended, not_compared)
    map_error = draw_map(map_file, report)
    end.show(_call_facts(folder, settled, chosen, terms), list_all=map_error is not None, as_json=as_json)
    if error := map_error or end.error():
        raise error


def _call_facts(
    folder: Path, scheme: TileScheme, chosen: ChosenTimes, terms: IntakeTerms
) -> dict[str, str | None]:
    return {
        "folder": str(folder),
        "source": terms.source.value,
        "scheme": scheme.value,
        "captured_at": None if chosen.one_date is None else chosen.one_date.isoformat(),
        "captured_from": chosen.origin or "the dataset",
        "dataset": terms.dataset,
    }


def _take_in(
    runtime: Runtime, found: TileFolder, terms: IntakeTerms, batch_size: int, *, decode: bool
) -> tuple[IntakeReport, float, BaseException | None]:
    """The report, the seconds that passed, and what ended the run before its last tile."""
    intake = runtime.tile_intake
    report = IntakeReport(blank=0 if decode else None)
    started = time.monotonic()
    try:
        with (
            as_bad_input(CaptureTimeInFutureError, DatasetError),
            progress_bar("tiles", len(found.tiles)) as advance,
            intake.tally_evictions() as report.evicted,
        ):
            intake.take_in(
                found.tiles,
                terms,
                batch_size=batch_size,
                decode=decode,
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
    return report, time.monotonic() - started, ended


def _source_digest(
    runtime: Runtime, name: str | None, folder: Path, scheme: TileScheme
) -> tuple[SourceDigest | None, str | None]:
    """The digest of the folder's pictures where the dataset has one of a folder, or why it is not compared.

    Raises `DatasetError` where no tile of the dataset may go in, `InputFileError` for a folder without one.
    """
    from ...input_files.source_digest import digest_of_folder

    if name is None:
        return None, None
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
