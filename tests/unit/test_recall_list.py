"""Which tiles a recall list names."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from aerotile.domain.values.areas import Area
from aerotile.domain.values.recall_list import CaptureRange, RecallList
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.domain.values.timestamps import MICROSECOND, end_of, microseconds_of

FIRST = datetime(2024, 5, 1, tzinfo=timezone.utc)
LAST = datetime(2024, 6, 30, tzinfo=timezone.utc)
TILE = TileId(4, 8, 7, TileSource.IMPORTED)
DIGEST, OTHER = "ab" * 32, "cd" * 32


def test_a_tile_is_recalled_exactly_when_an_entry_names_it() -> None:
    by = {
        "digests": ([DIGEST], DIGEST, OTHER),
        "captured": ((CaptureRange(FIRST, LAST),), microseconds_of(FIRST), microseconds_of(FIRST) - 1),
        "areas": ((Area([TILE.bbox], [4]),), TILE, TileId(4, 1, 1, TileSource.IMPORTED)),
    }
    for listed in itertools.product([False, True], repeat=3):
        entries: dict[str, Any] = {n: by[n][0] for n, is_listed in zip(by, listed, strict=True) if is_listed}
        recalls = RecallList(number=1, reason="x", **entries)
        assert recalls.entries == sum(listed)
        for named in itertools.product([False, True], repeat=3):
            content, captured_us, tile_id = (
                by[name][1 if is_named else 2] for name, is_named in zip(by, named, strict=True)
            )
            entry = recalls.entry_for(tile_id, captured_us, content)  # type: ignore[arg-type] # of a table
            assert (entry is not None) is any(a and b for a, b in zip(listed, named, strict=True))


def test_both_ends_of_a_range_are_recalled_and_what_is_not_known_is_not() -> None:
    recalls = RecallList(number=1, reason="x", captured=(CaptureRange(FIRST, LAST),))
    for time, is_recalled in (
        (FIRST, True), (LAST, True), (FIRST - MICROSECOND, False), (LAST + MICROSECOND, False),
    ):  # fmt: skip
        assert (recalls.entry_for(TILE, microseconds_of(time), None) is not None) is is_recalled
    assert recalls.entry_for(TILE, None, None) is None
    assert RecallList(number=1, reason="x", digests=[DIGEST]).entry_for(TILE, None, None) is None


def test_an_area_recalls_every_source_of_its_place_at_its_zooms_and_a_touch_is_enough() -> None:
    recalls = RecallList(number=1, reason="x", areas=(Area([Bbox(0, 0, 1, 1)], [4]), Area([TILE.bbox])))
    assert recalls.entry_for(TileId(4, 8, 7, TileSource.SATELLITE_PROVIDER), None, None) == "area 1"
    assert recalls.entry_for(TileId(4, 7, 8, TileSource.IMPORTED), None, None) == "area 1"  # one corner
    assert recalls.entry_for(TileId(5, 16, 15, TileSource.IMPORTED), None, None) == "area 2"
    assert recalls.entry_for(TileId(4, 6, 7, TileSource.IMPORTED), None, None) is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"number": 0}, "whole number from 1 on, got 0"),
        ({"number": 10**18}, "whole number from 1 on"),
        ({"number": True}, "whole number from 1 on, got True"),
        ({"reason": " "}, "one printable line"),
        ({"reason": "two\nlines"}, "one printable line"),
        ({"reason": "x" * 501}, "at most 500 characters, got 501"),
        ({"digests": ["AB" * 32]}, "64 lower hexadecimal digits"),
        ({"digests": [7]}, "64 lower hexadecimal digits"),
    ],
)
def test_an_impossible_list_is_refused(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RecallList(**{"number": 1, "reason": "x"} | facts)


def test_a_range_has_an_order_and_an_offset() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        CaptureRange(LAST, FIRST)
    with pytest.raises(ValueError, match="last must be an aware datetime"):
        CaptureRange(FIRST, LAST.replace(tzinfo=None))


def test_the_end_of_a_date_is_its_last_microsecond_and_a_time_is_its_own_end() -> None:
    assert end_of("2024-06-30") == LAST + timedelta(days=1) - MICROSECOND
    assert end_of("2024-06-30T00:00Z") == LAST
    assert end_of("9999-12-31").year == 9999
