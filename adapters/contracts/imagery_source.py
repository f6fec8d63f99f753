"""The contract of `ImagerySource`: it lists exactly what it has, and answers each place that is read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import attrs
import pytest

from ...domain.errors import ImagerySourceError
from ...domain.ports.imagery_source import ImagerySource, ImageryTile, TilePlace
from ...domain.values.tile_grid import MAX_ZOOM, GridRange, shared_range


@attrs.frozen
class ImagerySourceSubject:
    """The source under test, and the JPEGs that lie in it; at two zooms or more, several at each."""

    source: ImagerySource
    tiles: Mapping[TilePlace, bytes]
    is_verbatim: bool = True
    """Whether the JPEGs are the source's own bytes; otherwise it makes them, and estimates their sizes."""


class ImagerySourceContract:
    """Tests that every `ImagerySource` passes. Override `subject`."""

    @pytest.fixture
    def subject(self) -> ImagerySourceSubject:
        """The source under test and what lies in it. Override it."""
        raise NotImplementedError

    def test_zooms_are_those_of_its_places(self, subject: ImagerySourceSubject) -> None:
        zooms = sorted({place.zoom_level for place in subject.tiles})
        assert list(subject.source.zooms()) == zooms
        for zoom in range(MAX_ZOOM + 1):
            assert (subject.source.extent(zoom) is None) == (zoom not in zooms)

    def test_an_extent_holds_every_place(self, subject: ImagerySourceSubject) -> None:
        for place in subject.tiles:
            extent = subject.source.extent(place.zoom_level)
            assert extent is not None
            assert shared_range(extent, _around(place, 0)) is not None

    def test_the_places_of_a_rectangle_are_those_within_by_column_and_row(
        self, subject: ImagerySourceSubject
    ) -> None:
        for corner in subject.tiles:
            for reach in (0, 1, 40):
                within = _around(corner, reach)
                found = subject.source.places(within)
                expected = [
                    place
                    for place in sorted(subject.tiles)
                    if place.zoom_level == within.zoom_level and (place.x, place.y) in within
                ]
                assert [one.place for one in found] == expected
                if subject.is_verbatim:
                    assert [one.size for one in found] == [len(subject.tiles[place]) for place in expected]
                assert all(one.size > 0 for one in found)

    def test_each_place_that_is_read_has_one_answer_in_its_order(self, subject: ImagerySourceSubject) -> None:
        for zoom in subject.source.zooms():
            asked = [place for place in sorted(subject.tiles, reverse=True) if place.zoom_level == zoom]
            answers = list(subject.source.read(asked))
            assert [answer.place for answer in answers if isinstance(answer, ImageryTile)] == asked
            for answer in answers:
                assert isinstance(answer, ImageryTile)
                assert answer.pixels == subject.tiles[answer.place]
                assert answer.valid_fraction == 1.0
                assert (answer.encoded_from is None) == subject.is_verbatim
        assert list(subject.source.read([])) == []

    def test_places_of_several_zooms_are_answered_alike(self, subject: ImagerySourceSubject) -> None:
        places = sorted(subject.tiles)
        answers = list(subject.source.read(places))
        assert [one.pixels for one in answers if isinstance(one, ImageryTile)] == [
            subject.tiles[place] for place in places
        ]

    def test_what_fills_in_a_tile_is_not_encoded_first(self, subject: ImagerySourceSubject) -> None:
        places = sorted(subject.tiles)
        asked = set(places[::2])
        for answer in subject.source.read(places, None, asked):
            assert isinstance(answer, ImageryTile)
            if subject.is_verbatim or answer.place not in asked:
                assert (answer.pixels, answer.part) == (subject.tiles[answer.place], None)
            else:
                assert answer.pixels is None
                assert answer.part is not None
                assert answer.part.valid.all()
            assert (answer.encoded_from is None) == subject.is_verbatim

    def test_reading_may_end_early_and_begin_again(self, subject: ImagerySourceSubject) -> None:
        zoom = subject.source.zooms()[-1]
        asked = [place for place in sorted(subject.tiles) if place.zoom_level == zoom]
        for _ in range(2):
            answers = iter(subject.source.read(asked))
            first = next(answers)
            assert isinstance(first, ImageryTile)
            assert first.place == asked[0]
            del answers

    def test_a_stop_may_come_before_a_read_and_beside_it(self, subject: ImagerySourceSubject) -> None:
        asked = sorted(subject.tiles)
        reading = iter(subject.source.read(asked))
        assert next(reading) is not None
        subject.source.stop()
        with suppress(ImagerySourceError):
            assert all(isinstance(one, ImageryTile) for one in reading)

    def test_it_says_what_it_is(self, subject: ImagerySourceSubject) -> None:
        assert subject.source.name
        assert subject.source.facts.kind
        assert subject.source.seconds_each > 0


def _around(place: TilePlace, reach: int) -> GridRange:
    last = (1 << place.zoom_level) - 1
    return GridRange(
        place.zoom_level,
        max(place.x - reach, 0),
        max(place.y - reach, 0),
        min(place.x + reach, last),
        min(place.y + reach, last),
    )
