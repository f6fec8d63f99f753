"""Provisions from a source that answers over a network: what is asked for again, and what a kill loses."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import pytest
from budgeted_cache import NOW
from provision_site import CODEC, DAY, SIDE, Site, counts, dataset, ground, picture, place, source_of, tile

from aerotile.adapters.memory.imagery_source import MemoryImagerySource
from aerotile.domain.errors import (
    ImageryPlaceError,
    ImagerySourceError,
)
from aerotile.domain.intake.compare_stored import OnContest
from aerotile.domain.intake.mosaic import Mosaic
from aerotile.domain.ports.imagery_source import ImageryTile
from aerotile.domain.values.areas import Area
from aerotile.domain.values.tile_grid import GridRange, tile_bbox


def server_of(*tiles: ImageryTile) -> MemoryImagerySource:
    return source_of(*tiles, is_remote=True)


def test_a_refresh_reads_what_has_changed_alone() -> None:
    site = Site()
    site.provision([server_of(tile(1, version="a"), tile(2, version="a"), tile(3))], at=NOW - DAY)
    server = server_of(tile(1, version="a"), tile(2, 5, version="b"), tile(3))
    report = site.provision([server], on_contest=OnContest.REFRESH)
    assert server.was_read == [place(2), place(3)]
    assert (report.intake.replaced, report.intake.present, report.unchanged) == (1, 2, 1)
    assert site.stored()[2] == tile(2, 5).pixels
    assert site.dates() == {1: NOW - DAY, 2: NOW, 3: NOW - DAY}
    assert site.provision([server], on_contest=OnContest.REFRESH).unchanged == 2


def test_a_version_counts_only_for_the_bytes_that_came_with_it() -> None:
    site = Site()
    site.provision([server_of(tile(1, version="a"), tile(2, version="a"))], at=NOW - DAY)
    site.provision([source_of(tile(1, 7))], at=NOW - DAY / 2, on_contest=OnContest.REPLACE)
    server = server_of(tile(1, version="a"), tile(2, version="a"))
    site.provision([server], on_contest=OnContest.REFRESH)
    assert server.was_read == [place(1)]
    assert site.stored()[1] == tile(1).pixels


def test_a_place_that_another_source_gives_now_is_not_asked_for_a_version() -> None:
    site = Site()
    whole = ImageryTile(
        place=place(1), pixels=CODEC.encode(np.full((SIDE, SIDE, 3), 9, np.uint8)), version="a"
    )
    server = server_of(whole)
    site.provision([server], at=NOW - DAY)
    above = attrs.evolve(tile(1, part=ground(0, 1)), pixels=None)
    report = site.provision([source_of(above), server], on_contest=OnContest.REFRESH)
    assert (report.unchanged, report.intake.replaced) == (0, 1)
    assert server.was_read == [place(1)] * 2


def test_a_part_that_another_source_fills_in_now_is_not_asked_for_a_version() -> None:
    site = Site()
    part = attrs.evolve(tile(1, part=ground(0, 1), version="a"), pixels=None)
    site.provision([server_of(part)], at=NOW - DAY, take_partial=True)
    whole = CODEC.encode(np.full((SIDE, SIDE, 3), 9, np.uint8))
    below = source_of(ImageryTile(place=place(1), pixels=whole))
    report = site.provision([server_of(part), below], on_contest=OnContest.REFRESH)
    assert (report.unchanged, report.intake.replaced) == (0, 1)


def test_a_tile_of_another_dataset_is_no_unchanged_one() -> None:
    site = Site(datasets=[dataset("a"), dataset("b")])
    site.provision([server_of(tile(1, version="a"))], at=NOW - DAY, dataset="a")
    report = site.provision([server_of(tile(1, version="a"))], dataset="b", on_contest=OnContest.REFRESH)
    assert (report.unchanged, len(report.intake.contests)) == (0, 1)


def test_what_was_read_before_a_source_failed_goes_in() -> None:
    site = Site()
    fault = ImageryPlaceError("no picture", place=place(2), kind="garbage")
    source = MemoryImagerySource(
        {place(1): tile(1), place(2): fault, place(3): ImagerySourceError("gone"), place(4): tile(4)},
        is_remote=True,
    )
    with pytest.raises(ImagerySourceError, match="gone"):
        site.provision([source])
    assert counts(site.report) == (1, 0, 1)
    assert list(site.stored()) == [1]


def test_a_part_that_is_not_filled_in_is_encoded_only_when_it_is_taken() -> None:
    site = Site()
    part = attrs.evolve(tile(1, part=ground(0, 1, 2, value=8)), pixels=None)
    assert site.provision([source_of(part)]).partial == 1
    site.provision([source_of(part)], take_partial=True)
    assert site.stored()[1] == CODEC.encode(part.part.pixels)  # type: ignore[union-attr]  # it has one


def test_a_server_is_asked_for_no_more_places_than_anybody_needs() -> None:
    class World(MemoryImagerySource):
        def zooms(self) -> Sequence[int]:
            return range(15)

        def extent(self, zoom_level: int) -> GridRange:
            last = (1 << zoom_level) - 1
            return GridRange(zoom_level, 0, 0, last, last)

    box = Area([tile_bbox(1000, 1000, 12)])
    with pytest.raises(ImagerySourceError, match="would be asked for 16777216 places at zoom 12") as refusal:
        Mosaic.of([World({}, is_remote=True)], CODEC, zooms=[12])
    assert refusal.value.remedy == "name a smaller --area or coarser zooms"
    assert Mosaic.of([World({}, is_remote=True)], CODEC, zooms=[12], area=box).zooms == [12]
    assert Mosaic.of([World({})], CODEC, zooms=[12]).zooms == [12]


def test_what_a_kill_loses_of_a_server_is_a_smaller_part() -> None:
    answers = {place(x, y): ImageryTile(place=place(x, y), pixels=picture(x * 64 + y)) for x in range(64)
               for y in range(8)}  # fmt: skip
    for is_remote, parts in ((True, [256, 512]), (False, [512])):
        site = Site()
        site.provision([MemoryImagerySource(answers, is_remote=is_remote)])
        assert sorted(set(site.progress)) == parts
