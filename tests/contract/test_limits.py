"""Each limit of the domain is the limit in SQL and in the compiled code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from uuid import UUID

import psycopg
import pytest

from aerotile.adapters.contracts.tile_catalogue.rows import imported, row
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.values.catalogue_entries import MAX_DISK_BYTES, VOTING_CODES, CatalogueColumns
from aerotile.domain.values.tile_grid import MAX_LATITUDE, MAX_ZOOM, Bbox, GridRange
from aerotile.domain.values.tile_key import MAX_VARIANTS, VariantTable
from aerotile.domain.values.tiles import (
    TileId,
    TileMetadata,
    TileMetadataPersistent,
    TileSource,
    VotingStatus,
)
from aerotile.domain.values.validators import is_sha256
from aerotile.ext import CompiledTileCatalogue
from aerotile.testing import MakeTileCatalogue, MemoryTileCatalogue

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
CATALOGUES: list[MakeTileCatalogue] = [MemoryTileCatalogue, CompiledTileCatalogue]
SHA256 = "0123456789abcdef" * 4
DIGESTS = [
    SHA256,
    SHA256[1:],
    SHA256 + "0",
    SHA256.upper(),
    SHA256[:-1] + "g",
    SHA256 + "\n",
    "\n" + SHA256,
    SHA256[:-1] + "\n",
    SHA256[:-1] + " ",
    SHA256[:-1] + "٠",  # an Arabic digit
    "",
]


@pytest.fixture
def database(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database) as database:
        yield database


def takes(database: Database, **values: object) -> bool:
    """Whether the database takes a row with these values, all else as it should be."""
    tile: dict[str, object] = {
        "zoom_level": 12,
        "x": 1,
        "y": 1,
        "source": "imported",
        "captured_at": NOW,
        "tile_size_pixels": 256,
        "ground_sample_distance": 1.0,
        "content_sha256": SHA256,
        "disk_bytes": 1,
        **values,
    }
    columns, parameters = ", ".join(tile), ", ".join(["%s"] * len(tile))
    with database.connection() as connection, connection.transaction(force_rollback=True):
        try:
            connection.execute(f"INSERT INTO tiles ({columns}) VALUES ({parameters})", list(tile.values()))
        except (psycopg.errors.CheckViolation, psycopg.errors.NumericValueOutOfRange):
            return False
    return True


def is_value(make: Callable[[], object]) -> bool:
    try:
        make()
    except ValueError:
        return False
    return True


def test_the_grid_is_the_same_in_the_database(database: Database) -> None:
    for zoom_level in (-1, *range(MAX_ZOOM + 2)):
        last = (1 << max(zoom_level, 0)) - 1
        for x, y in ((0, 0), (last, last), (last + 1, 0), (0, last + 1), (-1, 0), (0, -1)):
            in_domain = is_value(lambda: TileId(zoom_level, x, y, TileSource.IMPORTED))  # noqa: B023 # called at once
            assert takes(database, zoom_level=zoom_level, x=x, y=y) is in_domain, (zoom_level, x, y)


@pytest.mark.parametrize("kind", CATALOGUES, ids=lambda kind: kind.__name__)
def test_a_catalogue_has_the_zooms_and_latitudes_of_the_grid(kind: MakeTileCatalogue) -> None:
    catalogue = kind()
    for zoom_level in (-1, MAX_ZOOM + 1):
        with pytest.raises(ValueError, match="zoom_level"):
            catalogue.query_by_bbox(Bbox(0, 0, 1, 1), zoom_level)
    for zoom_level in range(MAX_ZOOM + 1):
        for lat in (90.0, MAX_LATITUDE, MAX_LATITUDE - 1e-9):
            span = GridRange.covering(Bbox(lat, 0, lat, 0), zoom_level)
            tile = row(imported(span.min_x, span.min_y, zoom_level))
            catalogue.add(tile)
            found = catalogue.query_by_bbox(Bbox(lat, 0, lat, 0), zoom_level)
            assert tile.tile_id in found.tile_ids()


def test_a_sha256_is_the_same_text_in_the_database(database: Database) -> None:
    for digest in DIGESTS:
        assert takes(database, content_sha256=digest) is is_sha256(digest), digest


def test_the_votes_are_the_same_in_the_database_and_in_the_flags(database: Database) -> None:
    assert set(VOTING_CODES) == {None, *VotingStatus}
    assert all(takes(database, voting_status=vote and vote.value) for vote in VOTING_CODES)
    assert not takes(database, voting_status="maybe")


@pytest.mark.parametrize("disk_bytes", [1, MAX_DISK_BYTES - 1, MAX_DISK_BYTES, MAX_DISK_BYTES + 1, 1 << 62])
def test_a_size_beyond_the_cap_counts_as_the_cap_in_every_catalogue(
    disk_bytes: int, database: Database
) -> None:
    tile = row(imported(1), disk_bytes=disk_bytes)
    with PostgresTileRows(database).insert(metadata_of(tile), NOW) as open_row:
        open_row.commit()
    columns, variants = PostgresTileRows(database).catalogue()
    from_rows = CatalogueColumns.of([tile], VariantTable())
    assert columns.disk_bytes.tolist() == from_rows.disk_bytes.tolist() == [min(disk_bytes, MAX_DISK_BYTES)]
    for kind in CATALOGUES:
        added, loaded = kind(), kind()
        added.add(tile)
        loaded.load(columns, variants)
        assert added.total_disk_bytes() == loaded.total_disk_bytes() == min(disk_bytes, MAX_DISK_BYTES)


@pytest.mark.parametrize("kind", CATALOGUES, ids=lambda kind: kind.__name__)
def test_a_catalogue_tells_as_many_flights_apart_as_a_tile_key(kind: MakeTileCatalogue) -> None:
    most = MAX_VARIANTS - len((TileSource.SATELLITE_PROVIDER, TileSource.IMPORTED))
    flights = tuple(UUID(int=number) for number in range(most + 1))
    with pytest.raises(ValueError, match="at most"):
        VariantTable(flights)
    catalogue = kind()
    variants = VariantTable(flights[:-1])
    catalogue.load(CatalogueColumns.of([], variants), variants)
    catalogue.add(row(TileId(12, 1, 0, TileSource.ONBOARD, flights[-2])))
    with pytest.raises(ValueError, match="at most"):
        catalogue.add(row(TileId(12, 1, 0, TileSource.ONBOARD, flights[-1])))


def metadata_of(tile: TileMetadataPersistent) -> TileMetadata:
    return TileMetadata(
        tile_id=tile.tile_id,
        captured_at=tile.captured_at,
        content_sha256=tile.content_sha256,
        disk_bytes=tile.disk_bytes,
        ground_sample_distance=tile.ground_sample_distance,
    )
