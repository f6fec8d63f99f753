"""New rows in C against their references: the domain's constructor, and what a server reads in their COPY."""

from __future__ import annotations

from datetime import datetime, timezone
from uuid import UUID

import attrs
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile import FreshnessLabel, TileId, TileMetadata, TileQualityMetadata, TileSource, VotingStatus
from aerotile.adapters.postgres.row_values import INSERTED, insert_values
from aerotile.domain.values.tile_grid import MAX_ZOOM
from aerotile.domain.values.tiles import MOST_COUNTED, TileMetadataPersistent
from aerotile.ext import copy_rows, new_rows

NOW = datetime(2026, 11, 30, 12, 34, 56, 789_012, timezone.utc)
BEFORE = datetime(2020, 1, 1, tzinfo=timezone.utc)
FLIGHTS = (UUID(int=0), UUID(int=2**128 - 1), UUID("5b8d0c2e-1a4f-4b3a-8c9d-e7f6a3b2c1d0"))
times = st.datetimes(datetime(1600, 1, 1), datetime(9000, 1, 1), timezones=st.just(timezone.utc))  # noqa: DTZ001
measures = st.one_of(st.integers(0, 1000), st.floats(0, 1e300))
counts = st.integers(1, MOST_COUNTED)


@st.composite
def tiles(draw: st.DrawFn) -> TileMetadata:
    zoom_level = draw(st.integers(0, MAX_ZOOM))
    coordinate = st.integers(0, (1 << zoom_level) - 1)
    source = draw(st.sampled_from(TileSource))
    onboard = source is TileSource.ONBOARD
    flight_id = draw(st.sampled_from(FLIGHTS)) if onboard else None
    tile_id = TileId(zoom_level, draw(coordinate), draw(coordinate), source, flight_id)
    qualities = st.builds(TileQualityMetadata, measures, counts, measures, measures)
    return TileMetadata(
        tile_id=tile_id,
        captured_at=draw(times),
        content_sha256=draw(st.binary(min_size=32, max_size=32)).hex(),
        disk_bytes=draw(st.integers(1, (1 << 63) - 1)),
        tile_size_pixels=draw(counts),
        ground_sample_distance=draw(measures.filter(bool)),
        freshness_label=draw(st.sampled_from(FreshnessLabel)),
        voting_status=draw(st.none() | st.sampled_from(VotingStatus)),
        quality=draw(st.none() | qualities) if onboard else None,
        location_hash=draw(st.sampled_from((None, tile_id.location_hash))),
        dataset=None if onboard else draw(st.none() | st.from_regex("[A-Za-z0-9]{1,9}", fullmatch=True)),
    )


batches = st.lists(tiles(), max_size=5)


@given(tiles(), tiles())
def test_what_a_database_knew_of_a_tile_is_not_taken_over(first: TileMetadata, second: TileMetadata) -> None:
    known = [
        attrs.evolve(
            TileMetadataPersistent.of(tile, created_at=BEFORE), uploaded_at=BEFORE, upload_attempts=3
        )
        for tile in (first, second)
    ]
    for batch in (known, [known[0], second], [first, known[1]]):
        expected = [TileMetadataPersistent.of(tile, created_at=NOW) for tile in batch]
        assert list(map(repr, new_rows(batch, NOW))) == list(map(repr, expected))


@given(batches)
def test_rows_are_those_of_the_domain(batch: list[TileMetadata]) -> None:
    rows = new_rows(batch, NOW)
    expected = [TileMetadataPersistent.of(tile, created_at=NOW) for tile in batch]
    assert rows == expected
    assert list(map(repr, rows)) == list(map(repr, expected))
    assert [row.tile_uuid.is_safe for row in rows] == [tile.tile_uuid.is_safe for tile in expected]


def test_a_server_reads_every_value_of_the_rows(migrated_database: str) -> None:
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        columns = ", ".join(f"{name} {kind}" for name, kind in INSERTED.items())
        connection.execute(f"CREATE TEMPORARY TABLE given ({columns})")
        connection.execute("SET TimeZone TO 'UTC'")

        @given(batches)
        def is_read(batch: list[TileMetadata]) -> None:
            rows = new_rows(batch, NOW)
            connection.execute("TRUNCATE given")
            with connection.cursor().copy("COPY given FROM STDIN (FORMAT binary)") as copy:
                copy.write(copy_rows(rows))
            read = connection.execute("SELECT * FROM given", binary=True).fetchall()
            assert read == list(map(insert_values, rows))

        is_read()


def test_a_number_that_no_column_holds_is_refused() -> None:
    (row,) = new_rows([small_tile()], NOW)
    with pytest.raises(OverflowError):
        copy_rows([attrs.evolve(row, disk_bytes=1 << 63)])


@pytest.mark.parametrize("nonsense", [None, 5, [None], ["tile"]])
def test_what_is_no_tile_is_refused(nonsense: object) -> None:
    with pytest.raises((TypeError, AttributeError)):
        new_rows(nonsense, NOW)  # type: ignore[arg-type]
    with pytest.raises((TypeError, AttributeError)):
        copy_rows(nonsense)  # type: ignore[arg-type]


def small_tile() -> TileMetadata:
    return TileMetadata(
        tile_id=TileId(5, 3, 4, TileSource.IMPORTED),
        captured_at=NOW,
        content_sha256="ab" * 32,
        disk_bytes=9,
        ground_sample_distance=1,
    )
