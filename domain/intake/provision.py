"""`provision_tiles`: read a mosaic of sources block by block, and take its tiles into the store."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime

import attrs

from ..errors import ImagerySourceError
from ..policies.freshness import check_capture_time
from ..policies.jpeg import with_comment
from ..ports.imagery_source import ImagerySource, TilePlace
from ..ports.offered_tile import OfferedTile
from ..ports.tile_versions import FetchedVersion, TileVersions
from ..values.tiles import TileId
from .admit_dataset import admit_dataset
from .mosaic import Mosaic
from .mosaic_parts import parts_ahead
from .place_layers import PlaceRead
from .read_tile import ReadTile
from .report import IntakeReport
from .take_in_tiles import TileIntake
from .terms import ProvisionTerms


@attrs.define
class ProvisionReport:
    """How the places of a provision ended. Every place is one of `intake.done`, `partial` or `empty`."""

    intake: IntakeReport
    """Its `present` counts the places that were not read again or are unchanged, too."""
    not_compared: int = 0
    """Places that the store holds and that were not read again."""
    unchanged: int = 0
    """Places whose source says that the stored tile is what it has there; its bytes were not sent."""
    verbatim: int = 0
    """Tiles whose bytes are the source's, of those that were offered to the store."""
    encoded: Counter[str] = attrs.field(factory=Counter)
    """Tiles that were encoded anew, by what they were made of; each names it in a comment of its JPEG."""
    partial: int = 0
    """Places that were left out, because a part of them shows no ground."""
    partial_taken: int = 0
    """Tiles of which a part shows no ground, of those that were offered to the store."""
    empty: int = 0
    """Places where no source shows ground, though one lists them; among them those that a server lacks."""
    dates_from: str = ""
    """Where the capture dates came from, in words."""
    faults: Counter[str] = attrs.field(factory=Counter)
    """Places where a source holds no imagery that can be read, by kind; they are among the refusals."""


def undated(sources: Sequence[ImagerySource]) -> list[str]:
    """The names of the sources that say no capture time."""
    return [source.name for source in sources if source.facts.captured_at is None]


def dates_of_files(sources: Sequence[ImagerySource]) -> list[str]:
    """For each source whose date may be the time at which the file was made: what it says, in words."""
    return [
        f"{source.name} says {source.facts.captured_at} in {source.facts.captured_at_from}"
        for source in sources
        if source.facts.captured_at_is_the_files
    ]


def check_sources_dated(sources: Sequence[ImagerySource], *, take_file_dates: bool) -> None:
    """Raise `ImagerySourceError` where a source has no date, or one that may not be the imagery's."""
    if names := undated(sources):
        raise ImagerySourceError(
            f"{names[0]} does not say when the ground looked like that",
            remedy="give --captured-at, --dates, --stac or --dataset",
        )
    if not take_file_dates and (told := dates_of_files(sources)):
        raise ImagerySourceError(
            f"{told[0]}, which is often when the file was made, not when the ground looked like that",
            remedy="give --captured-at DATE, or --file-date if that is the date of the imagery",
        )


def provision_tiles(
    mosaic: Mosaic,
    intake: TileIntake,
    terms: ProvisionTerms,
    *,
    report: ProvisionReport,
    versions: TileVersions | None = None,
    progress: Callable[[int], None] = lambda done: None,
    before_evictions: Callable[[int, int], None] = lambda needed_bytes, free_bytes: None,
) -> None:
    """Take the tiles of a mosaic into the store; `report` is filled in on the way.

    Each place ends as `TileIntake.take_in` ends a tile, so that an interrupted provision is simply repeated:
    the store holds what was committed, at most two parts of 1,024 tiles (256 where a source is remote) are
    read again for nothing. The next part is read while one is written. A place of a remote source that the
    store holds is not read again, unless newer imagery may replace it, and a place without a capture date
    (see `CaptureTimes`) is counted and not read; with `OnContest.REFRESH` the source
    sends it only where it is no more the version that `versions` knows.
    `progress(done)` counts places, `before_evictions` is called once before tiles make room for these.
    An error that every tile would meet ends the run: `report.intake.stopped_by` has it.
    Raises `ImagerySourceError`, also where neither a source nor an option has a capture time, and before
    the first tile is read `CaptureTimeInFutureError`, `StoreUnavailableError`, and what `admit_dataset` does.
    """
    terms = _with_dates(mosaic.sources, intake, terms, report)
    has_warned = False

    def warn_once(needed_bytes: int, free_bytes: int) -> None:
        nonlocal has_warned
        if not has_warned:
            has_warned = True
            before_evictions(needed_bytes, free_bytes)

    done = 0
    with (
        closing(parts_ahead(mosaic, intake.store, terms, versions)) as parts,
        intake.tally_evictions() as report.intake.evicted,
    ):
        for part in parts:
            _note_known(part.known, terms, report)
            for undated in part.undated:
                report.intake.add_undated(undated)
            offered = offered_tiles(part.read, mosaic, terms, report)
            intake.take_in(
                offered,
                terms if terms.captured_at is not None else attrs.evolve(terms, captured_at=_date_of),
                batch_size=terms.batch_size,
                before_evictions=warn_once,
                report=report.intake,
            )
            _note_versions(offered, versions)
            done += len(part.known) + len(part.undated) + len(part.read)
            progress(done)
            if report.intake.stopped_by is not None:
                return


def _with_dates(
    sources: Sequence[ImagerySource], intake: TileIntake, terms: ProvisionTerms, report: ProvisionReport
) -> ProvisionTerms:
    """The terms, with the dataset's date where nothing else was said; dates and dataset are checked."""
    now = intake.clock.now()
    report.dates_from = "given"
    if terms.dataset is not None:
        dataset = admit_dataset(intake.datasets, terms.dataset, terms.source_digest)
        if terms.captured_at is None:
            report.dates_from = f"of the dataset {terms.dataset}, {dataset.captured_from}"
            terms = attrs.evolve(terms, captured_at=dataset.captured_at)
    if isinstance(terms.captured_at, datetime):
        check_capture_time(terms.captured_at, now)
    if terms.captured_at is not None:
        return terms
    report.dates_from = "of the sources"
    check_sources_dated(sources, take_file_dates=terms.take_file_dates)
    for source in sources:
        assert source.facts.captured_at is not None
        check_capture_time(source.facts.captured_at, now)
    return terms


def _date_of(tile: OfferedTile) -> datetime | None:
    assert isinstance(tile, ReadTile)
    return tile.captured_at


def _note_versions(offered: Sequence[ReadTile], versions: TileVersions | None) -> None:
    """Remember the versions of tiles that were offered, whatever became of them: their bytes are named."""
    found: dict[str, dict[TilePlace, FetchedVersion]] = defaultdict(dict)
    for tile in offered:
        if tile.version is not None:
            source, version = tile.version
            digest = hashlib.sha256(tile.pixels).hexdigest()
            found[source][TilePlace(tile.zoom_level, tile.x, tile.y)] = FetchedVersion(version, digest)
    for source, fetched in found.items():
        if versions is not None:
            versions.note(source, fetched)


def _note_known(known: Sequence[TilePlace], terms: ProvisionTerms, report: ProvisionReport) -> None:
    report.not_compared += len(known)
    for place in known:
        report.intake.add_present(TileId(*place, terms.source))


def offered_tiles(
    read: Sequence[PlaceRead], mosaic: Mosaic, terms: ProvisionTerms, report: ProvisionReport
) -> list[ReadTile]:
    """The tiles that are offered to the gates; the report has the other places."""
    tiles = []
    for one in read:
        place = one.place
        for number, fault in one.faults:
            report.faults[fault.kind] += 1
            name = f"{mosaic.sources[number].name}: {place}"
            report.intake.add_refused(ReadTile(name, *place, b""), fault, terms.source)
        if one.is_unchanged:
            report.unchanged += 1
            report.intake.add_present(TileId(*place, terms.source))
            continue
        if one.tile is None:
            report.empty += not one.faults
            continue
        if one.tile.valid_fraction < 1.0 and not terms.take_partial:
            report.partial += 1
            continue
        names = " and ".join(mosaic.sources[number].name for number in one.sources)
        pixels = one.tile.pixels
        if pixels is None:
            assert one.tile.part is not None
            pixels = mosaic.codec.encode(one.tile.part.pixels)
        report.partial_taken += one.tile.valid_fraction < 1.0
        if one.tile.encoded_from is None:
            report.verbatim += 1
        else:
            report.encoded[one.tile.encoded_from] += 1
            pixels = with_comment(pixels, f"encoded anew by Aerotile from a {one.tile.encoded_from}")
        # A part is read again as a whole: another source may fill in now what it lacks.
        version = None
        if one.tile.version is not None and one.tile.part is None:
            version = names, one.tile.version
        tiles.append(ReadTile(f"{names}: {place}", *place, pixels, one.captured_at, version))
    return tiles
