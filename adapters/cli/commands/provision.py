"""`aerotile provision`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....domain.errors import AerotileError, CaptureTimeInFutureError, DatasetError, ImagerySourceError
from ....domain.values.counted import counted
from ....domain.values.tiles import TileSource
from ...input_files.tile_scheme import TileScheme
from ..areas import area_options, read_area_options
from ..arguments import zooms
from ..capture_times import add_capture_time_options, chosen_times
from ..command import command
from ..coverage import check_map_file, map_option
from ..errors import BadInputError, as_bad_input
from ..estimates import refuse_beside_estimate
from ..intake_output import draw_map, evictions_error, list_contests, list_refusals, warn_of_evictions
from ..output import json_option, write_json, write_line
from ..progress import progress_bar
from ..provision_output import (
    changed_error,
    left_out_of,
    nothing_came_error,
    plan_facts,
    provision_facts,
    refusals_error,
    show_estimate,
    write_dates,
    write_left_out,
    write_not_in_sources,
    write_provision,
)
from ..server_options import chosen_service, server_options
from ..session import Session
from ..shared_options import check_keep, dataset_option, keep_option, maker_option

if TYPE_CHECKING:
    from ....domain.intake.compare_stored import OnContest
    from ....domain.intake.mosaic import Mosaic, ZoomEstimate
    from ....domain.intake.provision import ProvisionReport, ProvisionTerms
    from ....domain.values.areas import Area
    from ...composition import Runtime
    from ...composition.source_files import SourceFile
    from ...tile_services.open_service import ServiceTerms


@command(
    "aerotile provision ortho.mbtiles --zoom 14-17 --estimate",
    "aerotile provision ortho.mbtiles --area 11.4,48.0,11.8,48.3 --zoom 14-17 --captured-at 2024-05-01",
    "aerotile provision ortho.tif --zoom 14-17 --captured-at 2024-05-01",
    "aerotile provision new.pmtiles old.gpkg --area route.kml --corridor 5km --captured-at 2024-05-01",
    "aerotile provision 'https://host/{z}/{x}/{y}.jpg' --token-file key --area route.kml --corridor 5km \\",
    "    --zoom 14-17 --captured-at 2024-05-01",
)
@click.argument("names", nargs=-1, required=True, metavar="SOURCE...")
@area_options
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
@server_options
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
def provision(
    session: Session,
    names: tuple[str, ...],
    areas: tuple[str, ...],
    corridor_m: float | None,
    levels: tuple[int, ...] | None,
    captured_at: datetime | None,
    dates: Path | None,
    stac: Path | None,
    file_date: bool,
    dataset: str | None,
    keep: bool,
    replace: bool,
    refresh: bool,
    source: str,
    scheme: str | None,
    enlarge: bool,
    token_file: Path | None,
    rate: float | None,
    connections: int | None,
    partial: bool,
    missing_only: bool,
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
    from ....domain.intake.provision import ProvisionTerms, check_sources_dated, is_present
    from ...composition.imagery_parts import digest_of_source, file_and_table
    from ...composition.source_files import SourceFile

    if only_estimate:
        refuse_beside_estimate(
            "a provision",
            "stores",
            captured_at=captured_at,
            dates=dates,
            stac=stac,
            file_date=file_date,
            dataset=dataset,
            keep=keep,
            partial=partial,
            missing_only=missing_only,
            map=map_file,
        )
    check_map_file(map_file)
    area, outside_area = read_area_options(areas, corridor_m)
    chosen = chosen_times(captured_at, dates, stac)
    check_keep(keep, dataset)
    on_contest = _on_contest(keep=keep, replace=replace, refresh=refresh, missing_only=missing_only)
    # Before a digest is taken. A folder compares each file that it reads, but not those with its digest.
    paths = {name: file_and_table(name)[0] for name in names}
    files = [
        SourceFile.of(name)
        for name, path in paths.items()
        if not only_estimate and (path.is_file() or (path.is_dir() and dataset is not None))
    ]
    terms = ProvisionTerms(
        source=TileSource(source),
        captured_at=chosen.times,
        take_file_dates=file_date,
        dataset=dataset,
        # A dataset has one source, and its digest is not compared with that of several.
        source_digest=None if dataset is None or len(names) != 1 else digest_of_source(names[0], scheme),
        on_contest=on_contest,
        take_partial=partial,
        only_missing=missing_only,
    )
    if file_date and chosen.option is not None:
        raise BadInputError(
            f"{chosen.option} and --file-date both say when the tiles were captured", remedy="give one"
        )
    if enlarge and levels is None:
        raise BadInputError("--enlarge makes zooms of --zoom, and none is given", remedy="give --zoom")
    service = chosen_service(
        session, names, levels, token_file=token_file, rate=rate, connections=connections
    )
    if refresh and service is None:
        raise BadInputError("--refresh asks servers, and no source is an address", remedy="give --replace")
    with (
        as_bad_input(CaptureTimeInFutureError, DatasetError, ImagerySourceError),
        ExitStack() as stack,
    ):
        enlarge_to = max(levels) if enlarge and levels else None
        mosaic = _mosaic(session, stack, names, scheme, enlarge_to, service, levels, area)
        if not only_estimate and chosen.times is None and dataset is None:
            check_sources_dated(mosaic.sources, take_file_dates=file_date)
        if only_estimate and not _has_store(session):
            show_estimate(mosaic, mosaic.estimate(), outside_area, as_json=as_json)
            return
        runtime = stack.enter_context(session.existing_runtime() if only_estimate else session.runtime())
        estimates = mosaic.estimate(is_present(runtime.tile_intake, terms.source))
        if only_estimate:
            replaces = terms.on_contest.replaces
            show_estimate(mosaic, estimates, outside_area, replaces=replaces, as_json=as_json)
            return
        chosen.check(runtime.clock.now())
        if chosen.times is None and not as_json:
            write_dates(mosaic)
        not_compared = _not_compared(runtime, terms, len(names))
        report, seconds, ended = _take_in(runtime, mosaic, terms, estimates)
    if ended is None:
        ended = next((changed_error(one.name) for one in files if _has_changed(one)), None)
    left_out = left_out_of(mosaic)
    map_error = draw_map(map_file, report.intake)
    if as_json:
        facts = plan_facts(mosaic, estimates, outside_area)
        facts["source_digest_not_compared"] = not_compared
        write_json(facts | provision_facts(report, seconds, ended, dates_from=chosen.origin))
    else:
        if report.intake.refused > 1 or ended is not None or map_error is not None:
            list_refusals(report.intake.refusals)
        list_contests(report.intake)
        write_left_out(left_out)
        write_provision(report, seconds, dates_from=chosen.origin)
        write_not_in_sources(estimates)
        if not_compared is not None:
            write_line(f"the source was not compared with the dataset: {not_compared}")
    if map_error is not None:
        raise map_error
    if ended is not None:
        raise ended
    if report.intake.refusals or report.intake.contests or report.intake.undated or left_out:
        raise refusals_error(report, left_out)
    if (report.empty or report.partial) and not report.intake.done:
        raise nothing_came_error(report)
    if report.intake.evicted.count:
        raise evictions_error(report.intake.evicted)


def _on_contest(*, keep: bool, replace: bool, refresh: bool, missing_only: bool) -> OnContest:
    """What becomes of a place that the store holds. Raises `BadInputError` for two options of which one
    replaces what the other one leaves.
    """
    from ....domain.intake.compare_stored import OnContest

    ways = {"--keep": keep, "--replace": replace, "--refresh": refresh}
    given = [option for option, is_given in (ways | {"--missing-only": missing_only}).items() if is_given]
    if len(given) > 1 and (replace or refresh):
        raise BadInputError(f"{given[0]} and {given[1]} contradict each other", remedy="give one of them")
    return next((OnContest(way[2:]) for way, is_given in ways.items() if is_given), OnContest.REFUSE)


def _mosaic(
    session: Session,
    stack: ExitStack,
    names: tuple[str, ...],
    scheme: str | None,
    enlarge_to: int | None,
    service: ServiceTerms | None,
    levels: tuple[int, ...] | None,
    area: Area | None,
) -> Mosaic:
    from ....domain.intake.mosaic import Mosaic
    from ...composition.imagery_parts import (
        open_imagery_source,
        refuse_scheme_without_rows,
        tile_picture_codec,
    )

    tile_size = session.config.tiles.tile_size_pixels
    sources = [
        stack.enter_context(
            open_imagery_source(
                name, tile_size=tile_size, scheme=scheme, enlarge_to=enlarge_to, service=service
            )
        )
        for name in names
    ]
    refuse_scheme_without_rows(sources, scheme)
    return Mosaic.of(sources, tile_picture_codec(tile_size), zooms=levels or (), area=area)


def _has_changed(source: SourceFile) -> bool:
    """Whether the source is another one by now, or can't be reached."""
    try:
        return not source.is_unchanged()
    except OSError:  # such as EIO of a stick that was pulled out
        return True


def _has_store(session: Session) -> bool:
    try:
        session.existing_config()
    except BadInputError:
        return False
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
    runtime: Runtime, mosaic: Mosaic, terms: ProvisionTerms, estimates: list[ZoomEstimate]
) -> tuple[ProvisionReport, float, BaseException | None]:
    """The report, the seconds that passed, and what ended the run before its last place."""
    from ....domain.intake.provision import ProvisionReport, provision_tiles
    from ....domain.intake.report import IntakeReport

    report = ProvisionReport(IntakeReport(blank=0))
    started = time.monotonic()
    total = sum(one.found for one in estimates)
    try:
        with progress_bar("tiles", total) as advance:
            provision_tiles(
                mosaic,
                runtime.tile_intake,
                terms,
                report=report,
                versions=runtime.tile_versions,
                progress=lambda done: advance(done, total),
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
