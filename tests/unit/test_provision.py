"""Provisions over sources in memory: what is read, what is stored, what the report says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import numpy as np
import pytest
from budgeted_cache import NOW
from provision_site import CODEC, DATED, SIDE, ZOOM, Site, counts, ground, picture, place, source_of, tile

from aerotile.adapters.memory.imagery_source import MemoryImagerySource
from aerotile.domain.errors import (
    CaptureTimeInFutureError,
    ImageryPlaceError,
    ImagerySourceError,
)
from aerotile.domain.intake import mosaic_parts
from aerotile.domain.intake.mosaic import Mosaic, in_ranges
from aerotile.domain.intake.mosaic_parts import is_present
from aerotile.domain.intake.provision import ProvisionReport, provision_tiles
from aerotile.domain.intake.report import IntakeReport
from aerotile.domain.intake.terms import ProvisionTerms
from aerotile.domain.policies.jpeg import is_picture, walk_jpeg, with_comment
from aerotile.domain.ports.imagery_source import ImageryFacts, ImageryTile, TilePlace
from aerotile.domain.values.areas import Area
from aerotile.domain.values.tile_grid import tile_bbox
from aerotile.domain.values.tiles import TileId, TileSource


def test_tiles_go_in_with_their_bytes_and_a_second_run_stores_nothing() -> None:
    site, source = Site(), source_of(*(tile(x) for x in range(5)))
    report = site.provision([source])
    assert counts(report) == (5, 0, 0)
    assert (report.verbatim, report.encoded) == (5, {})
    assert site.stored() == {x: picture(x) for x in range(5)}
    assert site.progress == [5]
    assert counts(site.provision([source])) == (0, 5, 0)


def test_a_tile_that_was_encoded_anew_says_so_in_itself() -> None:
    site = Site()
    report = site.provision([source_of(tile(1), tile(2, encoded_from="PNG"))])
    assert (report.verbatim, report.encoded) == (1, {"PNG": 1})
    assert b"\xff\xfe\x00\x25encoded anew by Aerotile from a PNG" in site.stored()[2]
    assert site.stored()[2] == with_comment(picture(2), "encoded anew by Aerotile from a PNG")


def test_a_comment_lies_behind_the_jfif_segment_and_leaves_a_picture() -> None:
    jfif = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    for header in (b"", jfif):
        pixels = b"\xff\xd8" + header + picture(1)[2:]
        marked = with_comment(pixels, "of a test")
        assert is_picture(walk_jpeg(marked), SIDE)
        assert marked == b"\xff\xd8" + header + b"\xff\xfe\x00\x0bof a test" + picture(1)[2:]


def test_the_first_source_that_has_a_place_whole_gives_the_tile_verbatim() -> None:
    first, second = source_of(tile(1), name="first"), source_of(tile(1, 7), tile(3, 7), name="second")
    site = Site()
    report = site.provision([first, second])
    assert site.stored() == {1: picture(1), 3: picture(7003)}
    assert (counts(report), report.verbatim) == ((2, 0, 0), 2)
    assert second.was_read == [place(3)]


def test_what_the_first_source_lacks_of_a_tile_the_next_ones_fill_in() -> None:
    whole = ImageryTile(place=place(1), pixels=CODEC.encode(np.full((SIDE, SIDE, 3), 9, np.uint8)))
    sources = [
        source_of(tile(1, part=ground(0, value=5), encoded_from="GeoTIFF"), name="west"),
        source_of(tile(1, part=ground(0, 1, value=6), encoded_from="GeoTIFF"), name="middle"),
        source_of(tile(1, part=ground(0, value=7), encoded_from="PNG"), name="nothing new"),
        source_of(whole, name="below"),
        source_of(tile(1, 8), name="not asked"),
    ]
    site = Site()
    report = site.provision(sources)
    assert (counts(report), report.encoded) == ((1, 0, 0), {"mosaic (GeoTIFF, JPEG)": 1})
    stored = site.stored()[1]
    assert b"encoded anew by Aerotile from a mosaic (GeoTIFF, JPEG)" in stored
    assert CODEC.decode(stored)[7, ::64, 0].tolist() == [5, 6, 9, 9]
    assert sources[4].was_read == []
    assert [source.decoded for source in sources] == [[], [place(1)], [place(1)], [place(1)], []]


def test_a_tile_of_several_sources_is_as_old_as_the_oldest_of_them() -> None:
    old, new = NOW - timedelta(days=90), NOW - timedelta(days=1)
    west = source_of(tile(1, part=ground(0, 1)), facts=ImageryFacts(kind="memory", captured_at=new))
    east = source_of(
        tile(1, part=ground(2, 3), captured_at=old), facts=ImageryFacts(kind="memory", captured_at=new)
    )
    site = Site()
    site.provision([west, east], at=None)
    assert site.dates() == {1: old}


def test_what_does_not_decode_fills_nothing_in_and_is_refused_by_name() -> None:
    sources = [
        source_of(tile(1, part=ground(0)), name="part"),
        source_of(tile(1), name="damaged"),
        source_of(tile(1, part=ground(1, 2, 3)), name="rest"),
    ]
    site = Site()
    report = site.provision(sources)
    assert (counts(report), report.partial, report.faults) == ((1, 0, 1), 0, {"a damaged JPEG": 1})
    assert [refusal.file for refusal in report.intake.refusals] == ["damaged: 8/1/0"]


@pytest.mark.parametrize(("take", "stored", "left_out"), [(False, set(), 1), (True, {1}, 0)])
def test_a_tile_that_shows_ground_in_a_part_is_left_out_unless_it_is_asked_for(
    take: bool, stored: set[int], left_out: int
) -> None:
    site = Site()
    both = [source_of(tile(1, part=ground(column, value=column + 1))) for column in (0, 2)]
    report = site.provision(both, take_partial=take)
    assert set(site.stored()) == stored
    assert (report.partial, report.partial_taken) == (left_out, 1 - left_out)
    if take:
        assert CODEC.decode(site.stored()[1])[7, ::64, 0].tolist() == [1, 0, 3, 0]


def test_what_is_no_imagery_is_refused_by_name_and_another_source_fills_the_place() -> None:
    fault = ImageryPlaceError("is an HTML page", place=place(1), kind="an HTML page")
    bad = MemoryImagerySource({place(1): fault, place(2): fault, place(3): None}, name="bad")
    site = Site()
    report = site.provision([bad, source_of(tile(1))])
    assert set(site.stored()) == {1}
    assert (counts(report), report.faults, report.empty) == ((1, 0, 2), {"an HTML page": 2}, 1)
    assert [refusal.file for refusal in report.intake.refusals] == ["bad: 8/1/0", "bad: 8/2/0"]


def test_dates_are_those_by_hand_or_of_the_tile_or_of_the_source() -> None:
    own = NOW - timedelta(days=9)
    source = source_of(tile(1, captured_at=own), tile(2), facts=DATED)
    site = Site()
    site.provision([source], at=None)
    assert site.dates() == {1: own, 2: DATED.captured_at}
    by_hand = Site()
    by_hand.provision([source], at=NOW - timedelta(days=1))
    assert set(by_hand.dates().values()) == {NOW - timedelta(days=1)}


def test_without_a_date_or_with_one_ahead_of_the_clock_nothing_is_read() -> None:
    site, source = Site(), source_of(tile(1))
    with pytest.raises(ImagerySourceError, match="does not say when the ground looked like that"):
        site.provision([source], at=None)
    with pytest.raises(CaptureTimeInFutureError):
        site.provision([source], at=NOW + timedelta(days=1))
    ahead = source_of(tile(1), facts=attrs.evolve(DATED, captured_at=NOW + timedelta(days=1)))
    with pytest.raises(CaptureTimeInFutureError):
        site.provision([ahead], at=None)
    assert (source.was_read, ahead.was_read) == ([], [])


@pytest.mark.parametrize(("is_remote", "only_missing"), [(True, False), (False, True)])
def test_what_the_store_holds_is_not_read_again_where_that_costs_somebody_or_is_not_wanted(
    is_remote: bool, only_missing: bool
) -> None:
    site = Site()
    site.provision([source_of(tile(1))])
    source = source_of(tile(1, 5), tile(2), is_remote=is_remote)
    report = site.provision([source], only_missing=only_missing)
    assert source.was_read == [place(2)]
    assert (counts(report), report.not_compared) == ((1, 1, 0), 1)
    assert site.progress[-1] == 2


def test_other_bytes_than_the_store_holds_are_refused() -> None:
    site = Site()
    site.provision([source_of(tile(1))])
    report = site.provision([source_of(tile(1, 5))])
    assert counts(report) == (0, 0, 1)
    assert site.stored() == {1: picture(1)}


def test_a_provision_that_was_interrupted_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic_parts, "_PART_TILES", 16)
    tiles = {place(x, y): ImageryTile(place=place(x, y), pixels=picture(x * 64 + y)) for x in range(64)
             for y in range(4)}  # fmt: skip
    site, source = Site(), MemoryImagerySource(tiles)

    def stop(done: int) -> None:
        site.progress.append(done)
        raise KeyboardInterrupt

    report = ProvisionReport(IntakeReport(blank=0))
    with pytest.raises(KeyboardInterrupt):
        provision_tiles(
            Mosaic.of([source], CODEC),
            site.intake,
            ProvisionTerms(captured_at=NOW),
            report=report,
            progress=stop,
        )
    assert report.intake.stored == 64
    assert source.stops == 1
    # One part was written, one was read ahead, and nobody reads on.
    assert len(source.was_read) == 128
    assert counts(site.provision([source])) == (256 - 64, 64, 0)


def test_no_more_than_two_parts_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic_parts, "_PART_BYTES", 1)
    site, ahead = Site(), []

    class Watched(MemoryImagerySource):
        def read(self, places: Sequence[TilePlace], versions: Any = None, decoded: Any = ()) -> Any:
            ahead.append(len(self.was_read) - (site.progress or [0])[-1])
            return super().read(places)

    tiles = [ImageryTile(place=place(x), pixels=picture(x)) for x in range(256)]
    site.provision([Watched({one.place: one for one in tiles})])
    assert site.progress[-1] == 256
    assert max(ahead) <= 2 * 16


def test_places_that_are_passed_over_fill_a_part_too(monkeypatch: pytest.MonkeyPatch) -> None:
    site, source = Site(), source_of(*(tile(x) for x in range(256)))
    site.provision([source])
    site.progress.clear()
    monkeypatch.setattr(mosaic_parts, "_PART_KNOWN", 64)
    report = site.provision([source], only_missing=True)
    assert (report.not_compared, site.progress) == (256, [64, 128, 192, 256, 256])


def test_a_source_that_fails_half_way_leaves_what_was_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic_parts, "_PART_TILES", 1)
    broken = ImagerySourceError("the disk is gone")
    source = MemoryImagerySource({place(1): tile(1), place(20): tile(20), place(40): broken})
    site = Site()
    with pytest.raises(ImagerySourceError, match="the disk is gone"):
        site.provision([source])
    assert source.stops == 1
    assert set(site.stored()) == {1, 20}
    assert site.report.intake.stored == 2


def test_evictions_are_counted_and_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic_parts, "_PART_TILES", 1)
    site = Site(60_000)
    report = site.provision([source_of(*(tile(16 * x) for x in range(12)))])
    assert report.intake.stored == 12
    assert report.intake.evicted.count == 12 - len(site.stored()) > 0
    assert len(site.warnings) == 1


def test_an_error_that_every_tile_would_meet_ends_the_provision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic_parts, "_PART_TILES", 1)
    site = Site(100)
    source = source_of(*(tile(16 * x) for x in range(12)))
    report = site.provision([source])
    assert report.intake.stopped_by is not None
    assert len(source.was_read) <= 3


def test_the_estimate_counts_places_exactly_and_reads_none() -> None:
    site = Site()
    site.provision([source_of(tile(1))])
    first, second = source_of(tile(1), tile(2)), source_of(tile(2, 7), tile(3, 7), tile(4, 7))
    box = tile_bbox(3, 0, ZOOM)
    inside = Area([attrs.evolve(box, min_lon=-180.0, max_lon=box.min_lon + 0.1, min_lat=box.min_lat + 0.1)])
    mosaic = Mosaic.of([first, second], CODEC, area=inside)
    (one,) = mosaic.estimate(is_present(site.intake.store, TileSource.IMPORTED))
    assert (one.wanted, one.found, one.present, one.disk_bytes) == (4, 3, 1, 600)
    assert first.was_read == second.was_read == []


def test_an_area_without_a_tile_and_a_zoom_without_imagery_are_refused_by_name() -> None:
    source = source_of(tile(1), name="ortho")
    elsewhere = Area([tile_bbox(100, 100, ZOOM)])
    with pytest.raises(ImagerySourceError, match="no source has a tile of the area at zoom 8") as refusal:
        Mosaic.of([source], CODEC, area=elsewhere).estimate()
    assert refusal.value.remedy == (
        "they cover -178.5938,84.9283,-177.1875,85.0511 (MIN_LON,MIN_LAT,MAX_LON,MAX_LAT)"
    )
    with pytest.raises(ImagerySourceError, match=r"no source has zoom 7, 9-10 \(ortho: 8\)"):
        Mosaic.of([source], CODEC, zooms=[7, 8, 9, 10])
    assert in_ranges([3, 5, 6, 7, 9]) == "3, 5-7, 9"


def test_the_store_s_places_are_those_of_the_source_that_is_named() -> None:
    site = Site()
    site.provision([source_of(tile(1))], source=TileSource.SATELLITE_PROVIDER)
    assert is_present(site.intake.store, TileSource.SATELLITE_PROVIDER)(place(1))
    assert not is_present(site.intake.store, TileSource.IMPORTED)(place(1))
    assert site.cache.store.tile_exists(TileId(ZOOM, 1, 0, TileSource.SATELLITE_PROVIDER))
