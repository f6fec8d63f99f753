"""What every `TileCatalogue` holds: the reference in numpy and the compiled one."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aerotile.domain import sorted_catalogue
from aerotile.domain.budget import may_be_evicted
from aerotile.domain.catalogue import (
    MAX_DISK_BYTES,
    CatalogueColumns,
    CatalogueEntry,
    EvictionCandidate,
    columns_of,
)
from aerotile.domain.moments import microseconds_of
from aerotile.domain.sorted_catalogue import SortedTileCatalogue
from aerotile.domain.storage import TileCatalogue
from aerotile.domain.tile_grid import MAX_LATITUDE, Bbox, GridRange, tile_bbox
from aerotile.domain.tile_key import VariantTable, decode_tile_key, encode_tile_key
from aerotile.domain.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileSource,
    VotingStatus,
)
from aerotile.ext import CompiledTileCatalogue

NOW = datetime(2026, 5, 1, 12, 30, 15, 123_456, tzinfo=timezone.utc)
FLIGHTS = [UUID(int=7), UUID(int=2**100 + 1), UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")]

IMPLEMENTATIONS: list[Callable[[], TileCatalogue]] = [SortedTileCatalogue, CompiledTileCatalogue]


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda kind: kind.__name__)
def catalogue(request: pytest.FixtureRequest) -> TileCatalogue:
    empty: TileCatalogue = request.param()
    return empty


def imported(x: int, y: int = 0, zoom_level: int = 12) -> TileId:
    return TileId(zoom_level, x, y, TileSource.IMPORTED)


def onboard(x: int, flight: int = 0) -> TileId:
    return TileId(12, x, 0, TileSource.ONBOARD, FLIGHTS[flight])


def row(tile_id: TileId, content: int = 0, **changes: object) -> TileMetadataPersistent:
    metadata = TileMetadata(
        tile_id=tile_id,
        captured_at=NOW - timedelta(days=content, microseconds=content),
        content_sha256=f"{content:064x}",
        disk_bytes=content + 1,
        ground_sample_distance=1.0,
    )
    return attrs.evolve(TileMetadataPersistent.of(metadata, created_at=NOW), **changes)


def entry(known: TileMetadataPersistent) -> CatalogueEntry:
    """What the catalogue should know of a row."""
    return CatalogueEntry(
        known.tile_id,
        known.captured_at,
        known.accessed_at,
        known.disk_bytes,
        known.content_sha256,
        known.freshness_label,
        known.voting_status,
        known.pinned,
        known.uploaded_at is not None,
        may_be_evicted(known),
    )


def load(catalogue: TileCatalogue, rows: Iterable[TileMetadataPersistent], since: int | None = None) -> None:
    columns, variants = columns_of(rows)
    catalogue.load(columns, variants, since=since)


def everything(catalogue: TileCatalogue) -> set[TileId]:
    keys, variants = catalogue.snapshot()
    return {decode_tile_key(key, variants) for key in keys.tolist()}


def test_an_empty_catalogue_knows_nothing(catalogue: TileCatalogue) -> None:
    assert len(catalogue) == 0
    assert catalogue.total_disk_bytes() == 0
    assert imported(1) not in catalogue
    assert catalogue.get(imported(1)) is None
    assert catalogue.captured_us(onboard(1)) is None
    assert catalogue.lru_candidates(5) == []
    assert not catalogue.remove(imported(1))
    assert len(catalogue.snapshot()[0]) == 0
    nothing = catalogue.query_by_bbox(Bbox(-90, -180, 90, 180), 12)
    assert (len(nothing), list(nothing), nothing.tile_ids(), nothing.keys.tolist()) == (0, [], [], [])


@pytest.mark.parametrize("label", FreshnessLabel)
@pytest.mark.parametrize("vote", [None, *VotingStatus])
@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("uploaded_at", [None, NOW])
@pytest.mark.parametrize("tile_id", [onboard(3), imported(3)], ids=lambda tile_id: tile_id.source.value)
def test_every_label_of_a_tile_is_kept_whether_loaded_or_added(
    catalogue: TileCatalogue,
    tile_id: TileId,
    label: FreshnessLabel,
    vote: VotingStatus | None,
    pinned: bool,
    uploaded_at: datetime | None,
) -> None:
    known = row(tile_id, 5, freshness_label=label, voting_status=vote, pinned=pinned, uploaded_at=uploaded_at)
    catalogue.add(known)
    assert catalogue.get(tile_id) == entry(known)
    load(catalogue, [known])
    assert catalogue.get(tile_id) == entry(known)


def test_the_hash_and_the_times_are_kept_to_the_last_digit(catalogue: TileCatalogue) -> None:
    known = row(
        imported(9),
        captured_at=datetime(1969, 7, 20, 20, 17, 40, 1, tzinfo=timezone.utc),
        accessed_at=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
        content_sha256="0123456789abcdef" * 4,
    )
    catalogue.add(known)
    assert catalogue.get(known.tile_id) == entry(known)
    assert catalogue.captured_us(known.tile_id) == microseconds_of(known.captured_at)


def test_a_tile_is_told_from_one_of_another_source_or_flight_at_its_place(catalogue: TileCatalogue) -> None:
    there = [onboard(3, 0), onboard(3, 1), imported(3)]
    catalogue.add_many(row(tile_id, content) for content, tile_id in enumerate(there))
    assert [catalogue.get(tile_id) for tile_id in there] == [
        entry(row(tile_id, content)) for content, tile_id in enumerate(there)
    ]
    assert onboard(3, 2) not in catalogue
    assert TileId(12, 3, 0, TileSource.SATELLITE_PROVIDER) not in catalogue
    assert TileId(13, 3, 0, TileSource.IMPORTED) not in catalogue


def test_content_is_news_the_first_time_and_when_its_hash_is_another(catalogue: TileCatalogue) -> None:
    assert catalogue.add(row(onboard(1), 1))
    assert not catalogue.add(row(onboard(1), 1))
    assert not catalogue.add(row(onboard(1), 1, voting_status=VotingStatus.TRUSTED, pinned=True))
    assert catalogue.add(row(onboard(1), 2))
    assert catalogue.get(onboard(1)) == entry(row(onboard(1), 2))
    assert catalogue.remove(onboard(1))
    assert catalogue.add(row(onboard(1), 2))


def test_the_total_follows_what_is_added_replaced_removed_and_loaded(catalogue: TileCatalogue) -> None:
    catalogue.add(row(imported(1), 9))
    catalogue.add(row(imported(2), 99))
    assert (len(catalogue), catalogue.total_disk_bytes()) == (2, 110)
    catalogue.add(row(imported(2), 49))
    assert (len(catalogue), catalogue.total_disk_bytes()) == (2, 60)
    assert catalogue.remove(imported(1))
    assert not catalogue.remove(imported(1))
    assert (len(catalogue), catalogue.total_disk_bytes()) == (1, 50)
    load(catalogue, [row(imported(3), 6)])
    assert (len(catalogue), catalogue.total_disk_bytes()) == (1, 7)


@pytest.mark.parametrize("size", [2**31, 2**32 - 1, 2**32, 2**40 - 1])
def test_a_tile_of_many_gigabytes_keeps_its_size(catalogue: TileCatalogue, size: int) -> None:
    load(catalogue, [row(imported(1), disk_bytes=size)])
    catalogue.add(row(imported(2), disk_bytes=size))
    assert [e.disk_bytes for e in catalogue.query_by_bbox(Bbox(-90, -180, 90, 180), 12)] == [size, size]
    assert catalogue.total_disk_bytes() == 2 * size
    assert catalogue.lru_candidates(1)[0].disk_bytes == size


def test_a_row_that_claims_an_impossible_size_does_not_keep_the_store_from_opening(
    catalogue: TileCatalogue,
) -> None:
    load(catalogue, [row(imported(1), disk_bytes=2**62)])
    catalogue.add(row(imported(2), disk_bytes=2**62))
    assert catalogue.total_disk_bytes() == 2 * MAX_DISK_BYTES


def test_a_load_replaces_everything(catalogue: TileCatalogue) -> None:
    load(catalogue, [row(imported(1)), row(onboard(1, 1))])
    load(catalogue, [row(imported(2)), row(onboard(2, 2))])
    assert everything(catalogue) == {imported(2), onboard(2, 2)}
    assert imported(1) not in catalogue
    assert onboard(1, 1) not in catalogue


def test_of_a_key_that_is_loaded_twice_the_last_row_counts(catalogue: TileCatalogue) -> None:
    load(catalogue, [row(imported(1), 1), row(imported(2)), row(imported(1), 2)])
    assert len(catalogue) == 2
    assert catalogue.get(imported(1)) == entry(row(imported(1), 2))
    assert catalogue.total_disk_bytes() == 1 + 3


def columns(keys: list[int], flags: int = 0) -> CatalogueColumns:
    count = len(keys)
    return CatalogueColumns(
        np.array(keys, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.ones(count, np.int64),
        np.full(count, flags, np.uint8),
        np.zeros((count, 32), np.uint8),
    )


GOOD_KEY = encode_tile_key(imported(1), VariantTable())


@pytest.mark.parametrize(
    ("key", "flags"),
    [
        (-1, 0),
        (GOOD_KEY | 2, 0),
        (23 << 58, 0),
        (3 << 58 | 64 << 14, 0),
        (GOOD_KEY, 5 << 4),
        (GOOD_KEY, 128),
    ],
    ids=["negative", "unknown flight", "zoom 23", "beyond the grid", "unknown vote", "unknown flag"],
)
def test_columns_that_name_no_tile_are_refused_and_change_nothing(
    catalogue: TileCatalogue, key: int, flags: int
) -> None:
    load(catalogue, [row(imported(5))])
    with pytest.raises(ValueError, match="row 1 names no tile"):
        catalogue.load(
            attrs.evolve(columns([GOOD_KEY, key]), flags=np.array([0, flags], np.uint8)), VariantTable()
        )
    assert everything(catalogue) == {imported(5)}


def test_columns_may_be_slices_of_larger_arrays(catalogue: TileCatalogue) -> None:
    whole, variants = columns_of([row(imported(x), x) for x in range(20)])
    catalogue.load(whole.at(slice(1, None, 3)), variants)
    assert [e.content_sha256 for e in catalogue.query_by_bbox(Bbox(-90, -180, 90, 180), 12)] == [
        row(imported(x), x).content_sha256 for x in range(1, 20, 3)
    ]


# Reloading beside writers.


def test_what_changed_since_the_mark_outlives_the_reload(catalogue: TileCatalogue) -> None:
    load(catalogue, [row(imported(x), x) for x in (1, 2, 3)])
    since = catalogue.mark()
    # What the database had when the reload began: others had changed tile 1 and removed tile 2.
    snapshot = [row(imported(1), 7), row(imported(3), 3), row(imported(4), 4)]
    catalogue.add(row(onboard(5, 1), 5))
    catalogue.remove(imported(3))
    load(catalogue, snapshot, since)
    assert everything(catalogue) == {imported(1), imported(4), onboard(5, 1)}
    assert catalogue.get(imported(1)) == entry(row(imported(1), 7))
    assert catalogue.get(onboard(5, 1)) == entry(row(onboard(5, 1), 5))
    assert catalogue.total_disk_bytes() == 8 + 5 + 6
    assert len(catalogue) == 3


def test_a_tile_that_was_unknown_when_it_was_removed_stays_removed(catalogue: TileCatalogue) -> None:
    since = catalogue.mark()
    catalogue.remove(onboard(1, 2))
    load(catalogue, [row(onboard(1, 2)), row(onboard(2, 2))], since)
    assert everything(catalogue) == {onboard(2, 2)}


def test_changes_before_the_mark_do_not_outlive_the_reload(catalogue: TileCatalogue) -> None:
    catalogue.add(row(imported(1)))
    since = catalogue.mark()
    load(catalogue, [row(imported(2))], since)
    assert everything(catalogue) == {imported(2)}


def test_flights_may_have_other_ordinals_in_what_is_reloaded(catalogue: TileCatalogue) -> None:
    load(catalogue, [row(onboard(x, x), x) for x in (0, 1, 2)])
    since = catalogue.mark()
    later = microseconds_of(NOW) + 9
    catalogue.note_accesses([onboard(0, 0), onboard(2, 2)], [later, later])
    catalogue.add(row(onboard(7, 0), 7))
    load(catalogue, [row(onboard(x, x), x) for x in (2, 1)], since)
    assert everything(catalogue) == {onboard(2, 2), onboard(1, 1), onboard(7, 0)}
    found = catalogue.get(onboard(2, 2))
    assert found is not None
    assert found.accessed_at == NOW + timedelta(microseconds=9)
    assert catalogue.get(onboard(1, 1)) == entry(row(onboard(1, 1), 1))


def test_access_times_do_not_go_back_when_a_tile_is_added_again_or_reloaded(catalogue: TileCatalogue) -> None:
    catalogue.add(row(imported(1), 1))
    since = catalogue.mark()
    later = NOW + timedelta(hours=1)
    catalogue.note_accesses([imported(1)], [microseconds_of(later)])
    load(catalogue, [row(imported(1), 2)], since)
    assert catalogue.get(imported(1)) == entry(row(imported(1), 2, accessed_at=later))
    catalogue.add(row(imported(1), 3))
    assert catalogue.get(imported(1)) == entry(row(imported(1), 3, accessed_at=later))


def test_a_mark_is_good_for_one_load_and_only_the_last_one_counts(catalogue: TileCatalogue) -> None:
    load(catalogue, [row(imported(1))])
    first = catalogue.mark()
    second = catalogue.mark()
    with pytest.raises(ValueError, match="not the last one"):
        load(catalogue, [], first)
    assert imported(1) in catalogue
    load(catalogue, [row(imported(2))], second)
    with pytest.raises(ValueError, match="used for a load already"):
        load(catalogue, [], second)
    assert everything(catalogue) == {imported(2)}


# Access times and eviction.


def test_candidates_come_least_recently_used_first_and_only_those_that_may_be_evicted(
    catalogue: TileCatalogue,
) -> None:
    def at(tile_id: TileId, minutes: int, **changes: object) -> TileMetadataPersistent:
        return row(tile_id, minutes, accessed_at=NOW + timedelta(minutes=minutes), **changes)

    tiles = [
        at(imported(1), 5),
        at(imported(2), 1, pinned=True),
        at(onboard(3), 0),
        at(onboard(4), 4, uploaded_at=NOW),
        at(onboard(5), 3, voting_status=VotingStatus.UPLOAD_GIVEUP),
        at(imported(6), 2),
    ]
    load(catalogue, tiles)
    order = [imported(6), onboard(5), onboard(4), imported(1)]
    sizes = {tile.tile_id: tile.disk_bytes for tile in tiles}
    assert catalogue.lru_candidates(10) == [EvictionCandidate(t, sizes[t]) for t in order]
    assert [c.tile_id for c in catalogue.lru_candidates(2)] == order[:2]
    catalogue.note_accesses([imported(6), imported(99)], [microseconds_of(NOW + timedelta(minutes=9)), 5])
    assert [c.tile_id for c in catalogue.lru_candidates(10)] == [*order[1:], imported(6)]
    assert imported(99) not in catalogue


def test_an_access_time_never_goes_back(catalogue: TileCatalogue) -> None:
    catalogue.add(row(imported(1)))
    catalogue.note_accesses([imported(1)], np.array([microseconds_of(NOW) - 1]))
    assert catalogue.get(imported(1)) == entry(row(imported(1)))


def test_accesses_need_a_time_each(catalogue: TileCatalogue) -> None:
    catalogue.add(row(imported(1)))
    with pytest.raises(ValueError, match="1 times"):
        catalogue.note_accesses([imported(1), imported(2)], [microseconds_of(NOW) + 1])
    assert catalogue.get(imported(1)) == entry(row(imported(1)))


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(catalogue: TileCatalogue, limit: int) -> None:
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        catalogue.lru_candidates(limit)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60),
    st.integers(1, 70),
)
def test_both_name_the_same_candidates_also_of_tiles_used_at_once(
    accesses: list[tuple[int, bool]], limit: int
) -> None:
    rows = [
        row(imported(x), x, accessed_at=NOW + timedelta(seconds=seconds), pinned=pinned)
        for x, (seconds, pinned) in enumerate(accesses)
    ]
    reference, compiled = SortedTileCatalogue(), CompiledTileCatalogue()
    load(reference, rows)
    load(compiled, rows)
    assert compiled.lru_candidates(limit) == reference.lru_candidates(limit)


# Boxes.


def test_matches_are_a_copy_that_later_changes_do_not_reach(catalogue: TileCatalogue) -> None:
    rows = [row(imported(x, y, 3), 8 * x + y) for x in range(8) for y in range(8)]
    load(catalogue, rows)
    matches = catalogue.query_by_bbox(Bbox(-90, -180, 90, 180), 3)
    expected = [
        entry(known) for known in sorted(rows, key=lambda r: encode_tile_key(r.tile_id, VariantTable()))
    ]
    load(catalogue, [])
    assert list(matches) == expected
    assert matches[0] == expected[0]
    assert matches[-1] == expected[-1]
    assert matches[3:60:7] == expected[3:60:7]
    assert matches.tile_ids() == [e.tile_id for e in expected]
    assert matches.keys.tolist() == [encode_tile_key(e.tile_id, VariantTable()) for e in expected]
    assert not matches.keys.flags.writeable
    for place in (64, -65):
        with pytest.raises(IndexError):
            matches[place]


def test_a_snapshot_is_sorted_read_only_and_not_reached_by_later_changes(catalogue: TileCatalogue) -> None:
    load(catalogue, [row(imported(x)) for x in (5, 1, 3)])
    keys, variants = catalogue.snapshot()
    catalogue.remove(imported(3))
    assert [decode_tile_key(key, variants) for key in keys.tolist()] == [imported(x) for x in (1, 3, 5)]
    assert not keys.flags.writeable


@pytest.mark.parametrize("zoom_level", [-1, 23, 1.0, "3", None, True, 2**70])
def test_a_zoom_off_the_grid_is_refused(catalogue: TileCatalogue, zoom_level: object) -> None:
    with pytest.raises(ValueError, match="zoom_level must be an integer within"):
        catalogue.query_by_bbox(Bbox(0, 0, 1, 1), zoom_level)  # type: ignore[arg-type] # wrong types are tested


latitudes = st.one_of(
    st.floats(-90.0, 90.0), st.sampled_from([-90.0, 90.0, MAX_LATITUDE, -MAX_LATITUDE, 0.0])
)
longitudes = st.one_of(st.floats(-180.0, 180.0), st.sampled_from([-180.0, 180.0, 0.0]))


@st.composite
def boxes(draw: st.DrawFn) -> Bbox:
    south, north = sorted((draw(latitudes), draw(latitudes)))
    west, east = sorted((draw(longitudes), draw(longitudes)))
    return Bbox(south, west, north, east)


@st.composite
def boxes_by_tiles(draw: st.DrawFn, zoom_level: int) -> Bbox:
    """Boxes whose edges are those of tiles, or one step of a float beside them."""
    size = 1 << zoom_level
    cells = st.integers(0, size - 1)
    (west, east), (top, bottom) = sorted((draw(cells), draw(cells))), sorted((draw(cells), draw(cells)))
    first, last = tile_bbox(west, top, zoom_level), tile_bbox(east, bottom, zoom_level)

    def near(value: float, limit: float) -> float:
        return max(-limit, min(limit, math.nextafter(value, draw(st.sampled_from([-999.0, value, 999.0])))))

    south, north = sorted((near(last.min_lat, 90.0), near(first.max_lat, 90.0)))
    left, right = sorted((near(first.min_lon, 180.0), near(last.max_lon, 180.0)))
    return Bbox(south, left, north, right)


@settings(max_examples=300)
@given(st.data())
def test_a_query_finds_the_tiles_that_the_grid_says(data: st.DataObject) -> None:
    zoom = data.draw(st.integers(0, 5))
    cells = data.draw(
        st.sets(st.tuples(st.integers(0, 2**zoom - 1), st.integers(0, 2**zoom - 1)), max_size=80)
    )
    rows = [row(imported(x, y, zoom)) for x, y in cells]
    rows += [row(TileId(zoom, x, y, TileSource.ONBOARD, FLIGHTS[1])) for x, y in list(cells)[::3]]
    # Neighbours on the curve that are of other zooms.
    rows += [row(imported(0, 0, zoom + 1)), row(imported(2**zoom - 1, 2**zoom - 1, zoom + 1))]
    rows += [row(imported(0, 0, zoom - 1))] if zoom else []
    bbox = data.draw(st.one_of(boxes(), boxes_by_tiles(zoom)))
    span = set(GridRange.covering(bbox, zoom))
    expected = [
        known.tile_id
        for known in sorted(rows, key=lambda r: encode_tile_key(r.tile_id, VariantTable((FLIGHTS[1],))))
        if known.tile_id.zoom_level == zoom and (known.tile_id.x, known.tile_id.y) in span
    ]
    for kind in IMPLEMENTATIONS:
        catalogue = kind()
        load(catalogue, rows)
        assert catalogue.query_by_bbox(bbox, zoom).tile_ids() == expected


DENSE = 6
"""Every tile of this zoom: 4,096, in 32 blocks."""


@pytest.fixture(scope="module", params=IMPLEMENTATIONS, ids=lambda kind: kind.__name__)
def dense(request: pytest.FixtureRequest) -> TileCatalogue:
    """A catalogue with every tile of one zoom, and some of the next."""
    full: TileCatalogue = request.param()
    side = range(1 << DENSE)
    load(full, (row(imported(x, y, DENSE)) for x in side for y in side))
    full.add_many(row(imported(x, x, DENSE + 1)) for x in side)
    return full


@settings(max_examples=300)
@given(st.one_of(boxes(), boxes_by_tiles(DENSE)))
def test_a_query_of_a_dense_area_finds_the_whole_range(dense: TileCatalogue, bbox: Bbox) -> None:
    found = dense.query_by_bbox(bbox, DENSE)
    span = GridRange.covering(bbox, DENSE)
    assert len(found) == len(span)
    assert {(t.x, t.y) for t in found.tile_ids()} == set(span)
    assert found.keys.tolist() == sorted(found.keys.tolist())


@settings(max_examples=1_000)
@given(boxes(), st.integers(0, 22))
def test_the_compiled_projection_is_the_grids_to_the_last_bit(bbox: Bbox, zoom_level: int) -> None:
    # The four corner cells of the range are found, the cells beside them are not.
    span = GridRange.covering(bbox, zoom_level)
    last = (1 << zoom_level) - 1
    inside = {(x, y) for x in (span.min_x, span.max_x) for y in (span.min_y, span.max_y)}
    beside = {(span.min_x - 1, span.min_y), (span.max_x + 1, span.max_y)}
    beside |= {(span.min_x, span.min_y - 1), (span.max_x, span.max_y + 1)}
    catalogue = CompiledTileCatalogue()
    catalogue.add_many(
        row(imported(x, y, zoom_level)) for x, y in inside | beside if 0 <= x <= last and 0 <= y <= last
    )
    assert {(t.x, t.y) for t in catalogue.query_by_bbox(bbox, zoom_level).tile_ids()} == inside


# Against a model.

ANY_TILE = st.one_of(
    st.builds(onboard, st.integers(0, 5), st.integers(0, 2)),
    st.builds(imported, st.integers(0, 30), st.integers(0, 3), st.just(12)),
    st.builds(imported, st.integers(0, 3), st.integers(0, 3), st.just(2)),
)
WORLD = Bbox(-90, -180, 90, 180)


class CatalogueMachine(RuleBasedStateMachine):
    """Any sequence of changes, on both implementations and a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects = [kind() for kind in IMPLEMENTATIONS]
        self.model: dict[TileId, TileMetadataPersistent] = {}
        self.marks: list[int] = []
        self.touched: set[TileId] = set()

    @initialize(tiles=st.dictionaries(ANY_TILE, st.integers(0, 9), max_size=20))
    def load(self, tiles: dict[TileId, int]) -> None:
        self.model = {tile_id: row(tile_id, content) for tile_id, content in tiles.items()}
        for subject in self.subjects:
            load(subject, self.model.values())

    @rule(tile_id=ANY_TILE, content=st.integers(0, 9), pinned=st.booleans())
    def add(self, tile_id: TileId, content: int, pinned: bool) -> None:
        new = row(tile_id, content, pinned=pinned)
        known = self.model.get(tile_id)
        if known is not None:
            new = attrs.evolve(new, accessed_at=max(new.accessed_at, known.accessed_at))
        news = known is None or known.content_sha256 != new.content_sha256
        assert [subject.add(new) for subject in self.subjects] == [news, news]
        self.model[tile_id] = new
        self.touched.add(tile_id)

    @rule(tile_id=ANY_TILE)
    def remove(self, tile_id: TileId) -> None:
        known = self.model.pop(tile_id, None) is not None
        assert [subject.remove(tile_id) for subject in self.subjects] == [known, known]
        self.touched.add(tile_id)

    @rule(tile_ids=st.lists(ANY_TILE, max_size=4), seconds=st.integers(-5, 99))
    def read(self, tile_ids: list[TileId], seconds: int) -> None:
        at = NOW + timedelta(seconds=seconds)
        for subject in self.subjects:
            subject.note_accesses(tile_ids, [microseconds_of(at)] * len(tile_ids))
        for tile_id in tile_ids:
            if tile_id in self.model and self.model[tile_id].accessed_at < at:
                self.model[tile_id] = attrs.evolve(self.model[tile_id], accessed_at=at)

    @rule()
    def mark(self) -> None:
        self.marks = [subject.mark() for subject in self.subjects]
        self.touched = set()

    @precondition(lambda self: bool(self.marks))
    @rule(tiles=st.dictionaries(ANY_TILE, st.integers(0, 9), max_size=20))
    def reload(self, tiles: dict[TileId, int]) -> None:
        loaded = {tile_id: row(tile_id, content) for tile_id, content in tiles.items()}
        for subject, since in zip(self.subjects, self.marks, strict=True):
            load(subject, loaded.values(), since)
        before, self.model = self.model, loaded
        for tile_id in self.model.keys() & before.keys():
            accessed_at = max(loaded[tile_id].accessed_at, before[tile_id].accessed_at)
            self.model[tile_id] = attrs.evolve(loaded[tile_id], accessed_at=accessed_at)
        for tile_id in self.touched:
            loaded_row = self.model.pop(tile_id, None)
            if tile_id in before:
                kept = before[tile_id]
                at = kept.accessed_at if loaded_row is None else max(kept.accessed_at, loaded_row.accessed_at)
                self.model[tile_id] = attrs.evolve(kept, accessed_at=at)
        self.marks = []

    @invariant()
    def all_agree(self) -> None:
        expected = {tile_id: entry(known) for tile_id, known in self.model.items()}
        total = sum(known.disk_bytes for known in self.model.values())
        evictable = {e.tile_id: e.accessed_at for e in expected.values() if e.evictable}
        for subject in self.subjects:
            assert len(subject) == len(expected)
            assert subject.total_disk_bytes() == total
            assert everything(subject) == set(expected)
            assert {t: subject.get(t) for t in expected} == expected
            assert all(t in subject for t in expected)
            for zoom in (2, 12):
                there = {t for t in expected if t.zoom_level == zoom}
                assert set(subject.query_by_bbox(WORLD, zoom).tile_ids()) == there
            oldest = [evictable[c.tile_id] for c in subject.lru_candidates(7)]
            assert oldest == sorted(evictable.values())[:7]


TestAnySequenceOfChanges = CatalogueMachine.TestCase


@pytest.fixture(params=[1, 3, 4_096], ids=lambda changes: f"merged after {changes}")
def merging(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_catalogue, "_MERGE_AT", request.param)


@pytest.mark.usefixtures("merging")
@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_changes_at_random_places_are_all_there(catalogue: TileCatalogue, seed: int) -> None:
    chance = np.random.default_rng(seed)
    model: dict[TileId, TileMetadataPersistent] = {}
    rounds = 3 if isinstance(catalogue, SortedTileCatalogue) else 40
    for _ in range(rounds):
        for x, y in chance.integers(0, 64, (150, 2)).tolist():
            known = row(imported(x, y, 10), x)
            catalogue.add(known)
            model[known.tile_id] = known
        for tile_id in list(model)[:: int(chance.integers(2, 9))]:
            assert catalogue.remove(tile_id)
            del model[tile_id]
        assert everything(catalogue) == set(model)
        assert catalogue.total_disk_bytes() == sum(known.disk_bytes for known in model.values())
    assert {t: catalogue.get(t) for t in model} == {t: entry(known) for t, known in model.items()}


@pytest.mark.parametrize("order", [1, -1], ids=["upwards", "downwards"])
def test_tiles_that_come_in_the_order_of_their_keys_are_all_there(
    catalogue: TileCatalogue, order: int
) -> None:
    tiles = [imported(x, y, 5) for x in range(32) for y in range(32)]
    tiles.sort(key=lambda tile_id: order * encode_tile_key(tile_id, VariantTable()))
    catalogue.add_many(row(tile_id) for tile_id in tiles)
    assert everything(catalogue) == set(tiles)
    assert all(tile_id in catalogue for tile_id in tiles)
    assert len(catalogue.query_by_bbox(WORLD, 5)) == len(tiles)
    for gone, tile_id in enumerate(tiles, start=1):
        assert catalogue.remove(tile_id)
        assert len(catalogue) == len(tiles) - gone
    assert everything(catalogue) == set()


def test_readers_meet_whole_states_while_others_add_remove_and_reload(catalogue: TileCatalogue) -> None:
    """Tiles come and go in pairs of one size, all of one reload have its content, some always stay."""
    staying = [row(imported(x, 1), 3) for x in range(0, 3_000, 7)]
    load(catalogue, staying)
    done = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                while not done.is_set():
                    work()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it fails the test
                failures.append(error)

        return run

    def read() -> None:
        for known in staying:
            assert known.tile_id in catalogue
            assert catalogue.get(known.tile_id) == entry(known)
        matches = catalogue.query_by_bbox(WORLD, 12)
        assert {known.tile_id for known in staying} <= set(matches.tile_ids())
        assert matches.keys.tolist() == sorted(set(matches.keys.tolist()))
        assert all(candidate.disk_bytes > 0 for candidate in catalogue.lru_candidates(50))

    threads = [threading.Thread(target=guarded(read)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        chance = np.random.default_rng(1)
        for _ in range(6):
            since = catalogue.mark()
            added = [row(imported(x, 2), x) for x in chance.integers(0, 3_000, 150).tolist()]
            catalogue.add_many(added)
            for known in added[::2]:
                catalogue.remove(known.tile_id)
            load(catalogue, staying, since)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
