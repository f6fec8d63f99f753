"""`aerotile provision`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....domain.errors import AerotileError, CaptureTimeInFutureError, DatasetError, ImagerySourceError
from ....domain.values.counted import counted
from ....domain.values.tiles import TileSource
from ...input_files.tile_scheme import TileScheme
from ..areas import AreaOptions, add_area_options
from ..arguments import zooms
from ..capture_times import CaptureTimeOptions, ChosenTimes, add_capture_time_options
from ..command import command
from ..contest_options import ContestOptions, dataset_option, gather_contests, keep_option
from ..coverage import check_map_file, map_option
from ..errors import BadInputError, as_bad_input
from ..estimates import refuse_beside_estimate
from ..intake_output import draw_map, warn_of_evictions
from ..option_groups import gather
from ..output import json_option
from ..progress import progress_bar
from ..provision_output import ProvisionEnd, changed_error
from ..provision_plan import ProvisionPlan
from ..server_options import ServerOptions, add_server_options
from ..session import Session
from ..shared_options import maker_option
from ..source_options import SourceOptions

if TYPE_CHECKING:
    from ....domain.intake.compare_stored import OnContest
    from ....domain.intake.mosaic import Mosaic, ZoomEstimate
    from ....domain.intake.provision import ProvisionReport
    from ....domain.intake.terms import ProvisionTerms
    from ...composition import Runtime
    from ...composition.source_files import SourceFile


@command(
    "aerotile provision ortho.mbtiles --zoom 14-17 --estimate",
    "aerotile provision ortho.mbtiles --area 11.4,48.0,11.8,48.3 --zoom 14-17 --captured-at 2024-05-01",
    "aerotile provision ortho.tif --zoom 14-17 --captured-at 2024-05-01",
    "aerotile provision new.pmtiles old.gpkg --area route.kml --corridor 5km --captured-at 2024-05-01",
    "aerotile provision 'https://host/{z}/{x}/{y}.jpg' --token-file key --area route.kml --corridor 5km \\",
    "    --zoom 14-17 --captured-at 2024-05-01",
)
@click.argument("names", nargs=-1, required=True, metavar="SOURCE...")
@add_area_options
@click.option(
    "--zoom", "levels", type=zooms, metavar="A-B", help="Only these zooms.  [default: those of the sources]"
)
@add_capture_time_options
@click.option(
    "--file-date",
    is_flag=True,
    help="Take the time of a GeoTIFF's TIFFTAG_DATETIME, which is often that of an export, as its date.",
)
@dataset_option
@keep_option
@click.option(
    "--replace",
    is_flag=True,
    help="Where the store holds a place: take this tile instead, if its imagery is newer.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="Ask servers again for what the store holds; newer imagery of --captured-at replaces what changed.",
)
@maker_option
@click.option(
    "--scheme",
    type=click.Choice([scheme.value for scheme in TileScheme]),
    help="The order of the rows in folders and MBTiles.  [default: what the source says, or its format]",
)
@click.option(
    "--enlarge",
    is_flag=True,
    help="Make zooms of --zoom that are finer than a GeoTIFF by enlarging its pixels; each tile says so.",
)
@add_server_options
@click.option("--partial", is_flag=True, help="Take tiles of which a part shows no ground, too.")
@click.option(
    "--missing-only",
    is_flag=True,
    help="Don't read what the store holds already: whether it holds the same there is then not known.",
)
@click.option("--estimate", "only_estimate", is_flag=True, help="Count, estimate, and store nothing.")
@map_option
@json_option
@click.pass_obj
@gather_contests
@gather("wanted", SourceOptions)
def provision(
    session: Session,
    wanted: SourceOptions,
    area_options: AreaOptions,
    capture_times: CaptureTimeOptions,
    contests: ContestOptions,
    source: str,
    server: ServerOptions,
    only_estimate: bool,
    map_file: Path | None,
    as_json: bool,
) -> None:
    """Bring imagery of an area into the store: MBTiles, PMTiles, GeoPackage, GeoTIFF, folders, servers.

    A server is named by the address of its tiles, with {z}, {x} and {y} (or {-y}, {q}), or by that of its
    WMTS capabilities, with #LAYER behind it. What the store holds is not asked for again.

    Sources are one mosaic: at each place the first that has it whole gives the tile. A JPEG of the store's
    tile size goes in verbatim. PNG, WebP, GeoTIFF and tiles of twice the size are encoded anew, which is
    counted and noted in the tile. No tile is made by enlarging coarser imagery, except by --enlarge. All
    tiles are counted first. Run it again after an interruption: what the store holds counts as present. The
    exit code is 1 when anything was refused, contested, without a date, left out of a source as no tile, or
    evicted.

    The date of a tile is that of --captured-at, --dates or --stac, or else the dataset's, or else what the
    sources say. With --dataset a place that another dataset holds is contested: the stored tile stays.
    With --replace newer imagery takes the place of older. With --refresh a server sends a tile that the store
    holds only where it has changed, by its ETag; a tile with the same bytes keeps its date.
    """
    if only_estimate:
        _refuse_beside_estimate(wanted, capture_times, contests, map_file)
    check_map_file(map_file, session.config)
    area, outside_area = area_options.read()
    chosen = capture_times.read()
    on_contest = contests.on_contest()
    # Before a digest is taken. A folder compares each file that it reads, but not those with its digest.
    files = [] if only_estimate else wanted.files(with_folders=contests.dataset is not None)
    terms = _terms(wanted, contests, on_contest, chosen, source)
    wanted.check(chosen)
    service = server.read(session, wanted.names, wanted.levels)
    if contests.refresh and service is None:
        raise BadInputError("--refresh asks servers, and no source is an address", remedy="give --replace")
    with (
        as_bad_input(CaptureTimeInFutureError, DatasetError, ImagerySourceError),
        wanted.open_mosaic(session, service, area) as mosaic,
    ):
        if only_estimate:
            plan = ProvisionPlan(mosaic, _estimates(session, mosaic, terms.source), outside_area)
            plan.show(replaces=on_contest.replaces, as_json=as_json)
            return
        end = _bring_in(session, mosaic, outside_area, terms, chosen, files, as_json=as_json)
    map_error = draw_map(map_file, end.report.intake)
    end.show(list_all=map_error is not None, as_json=as_json)
    if error := map_error or end.error():
        raise error


def _refuse_beside_estimate(
    wanted: SourceOptions, capture_times: CaptureTimeOptions, contests: ContestOptions, map_file: Path | None
) -> None:
    refuse_beside_estimate(
        "a provision",
        "stores",
        captured_at=capture_times.captured_at,
        dates=capture_times.dates,
        stac=capture_times.stac,
        file_date=wanted.file_date,
        dataset=contests.dataset,
        keep=contests.keep,
        partial=wanted.partial,
        missing_only=contests.missing_only,
        map=map_file,
    )


def _terms(
    wanted: SourceOptions, contests: ContestOptions, on_contest: OnContest, chosen: ChosenTimes, source: str
) -> ProvisionTerms:
    from ....domain.intake.terms import ProvisionTerms

    return ProvisionTerms(
        source=TileSource(source),
        captured_at=chosen.times,
        take_file_dates=wanted.file_date,
        dataset=contests.dataset,
        source_digest=None if contests.dataset is None else wanted.digest(),
        on_contest=on_contest,
        take_partial=wanted.partial,
        only_missing=contests.missing_only,
    )


def _estimates(session: Session, mosaic: Mosaic, source: TileSource) -> list[ZoomEstimate]:
    """What would come in, beside what the store holds, if there is one."""
    from ....domain.intake.mosaic_parts import is_present

    try:
        session.existing_config()
    except BadInputError:
        return mosaic.estimate()
    with session.existing_runtime() as runtime:
        return mosaic.estimate(is_present(runtime.tile_intake.store, source))


def _bring_in(
    session: Session,
    mosaic: Mosaic,
    outside_area: Mapping[str, int],
    terms: ProvisionTerms,
    chosen: ChosenTimes,
    files: Sequence[SourceFile],
    *,
    as_json: bool,
) -> ProvisionEnd:
    """Store the tiles of the mosaic; `files` must be the same at the end."""
    from ....domain.intake.mosaic_parts import is_present
    from ....domain.intake.provision import check_sources_dated

    if chosen.times is None and terms.dataset is None:
        check_sources_dated(mosaic.sources, take_file_dates=terms.take_file_dates)
    with session.runtime() as runtime:
        estimates = mosaic.estimate(is_present(runtime.tile_intake.store, terms.source))
        plan = ProvisionPlan(mosaic, estimates, outside_area)
        chosen.check(runtime.clock.now())
        if chosen.times is None and not as_json:
            plan.write_dates()
        not_compared = _not_compared(runtime, terms, len(mosaic.sources))
        report, seconds, ended = _take_in(runtime, plan, terms)
    if ended is None:
        ended = next((changed_error(one.name) for one in files if _has_changed(one)), None)
    return ProvisionEnd(plan, report, seconds, ended, chosen.origin, not_compared)


def _has_changed(source: SourceFile) -> bool:
    """Whether the source is another one by now, or can't be reached."""
    try:
        return not source.is_unchanged()
    except OSError:  # such as EIO of a stick that was pulled out
        return True


def _not_compared(runtime: Runtime, terms: ProvisionTerms, sources: int) -> str | None:
    """Why the source is not compared with the digest of its dataset; None where it is, or has none.

    Raises `UnknownDatasetError`.
    """
    if terms.dataset is None:
        return None
    found, dataset = terms.source_digest, runtime.dataset_store.find(terms.dataset)
    if found is None:
        return f"these are {sources} sources" if sources > 1 else "what a server sends has no digest"
    if found.of is dataset.digest_of:
        return None
    return f"the digest of {dataset.name} is that of its {dataset.digest_of.value} {dataset.source}"


def _take_in(
    runtime: Runtime, plan: ProvisionPlan, terms: ProvisionTerms
) -> tuple[ProvisionReport, float, BaseException | None]:
    """The report, the seconds that passed, and what ended the run before its last place."""
    from ....domain.intake.provision import ProvisionReport, provision_tiles
    from ....domain.intake.report import IntakeReport

    report = ProvisionReport(IntakeReport(blank=0))
    started = time.monotonic()
    try:
        with progress_bar("tiles", plan.places) as advance:
            provision_tiles(
                plan.mosaic,
                runtime.tile_intake,
                terms,
                report=report,
                versions=runtime.tile_versions,
                progress=lambda done: advance(done, plan.places),
                before_evictions=warn_of_evictions,
            )
    except (AerotileError, OSError, KeyboardInterrupt) as error:
        if isinstance(error, (CaptureTimeInFutureError, DatasetError)) and not report.intake.done:
            raise  # the call was wrong
        ended: BaseException | None = error
        click.echo(
            f"{counted(report.intake.stored, 'tile was', 'tiles were')} stored, "
            f"{counted(report.intake.present, 'was', 'were')} present; "
            "the same command goes on from there",
            err=True,
        )
    else:
        ended = report.intake.stopped_by
    return report, time.monotonic() - started, ended
