"""Each rule over a tile's facts gives one answer in Python, in SQL and compiled, whatever the facts.

`tile_rules` states each rule in Python, `postgres.predicates` in SQL; a catalogue holds the answer in a bit
of a row's flags, which the compiled parser of a COPY computes by itself. A test fails where two differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import datetime, timedelta, timezone
from itertools import product
from uuid import UUID

import attrs
import pytest
from psycopg.sql import SQL

from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.predicates import HAS_CONTENT
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.adapters.postgres.upload_ledger import PostgresUploadLedger
from aerotile.domain.ports.tile_catalogue import TileCatalogue
from aerotile.domain.ports.tile_metadata import TileMetadataStore
from aerotile.domain.values.catalogue_entries import CatalogueColumns, flags_of
from aerotile.domain.values.tile_key import VariantTable, decode_tile_key
from aerotile.domain.values.tile_rules import is_pending_upload, may_be_evicted
from aerotile.domain.values.tiles import (
    FreshnessLabel,
    TileId,
    TileMetadataPersistent,
    TileSource,
    VotingStatus,
)
from aerotile.domain.values.upload_reports import UploadState, upload_state
from aerotile.ext import CompiledTileCatalogue

NOW = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)
FLIGHT = UUID(int=7)
SHA256 = "c" * 64
CATALOGUES = [MemoryTileCatalogue, CompiledTileCatalogue]


@attrs.frozen
class Facts:
    """One combination of the facts of a row, and the row's position in the list of combinations."""

    position: int
    source: TileSource
    voting_status: VotingStatus | None
    freshness_status: str
    pinned: bool
    uploaded: bool
    attempted: bool
    file_missing: bool
    has_hash: bool
    has_size: bool

    @property
    def tile(self) -> TileMetadataPersistent:
        """The tile, as if its hash and size were known."""
        flight_id = FLIGHT if self.source is TileSource.ONBOARD else None
        tile_id = TileId(14, self.position, 0, self.source, flight_id)
        return TileMetadataPersistent(
            tile_id=tile_id,
            captured_at=NOW - timedelta(days=3),
            content_sha256=SHA256,
            disk_bytes=100,
            ground_sample_distance=1.25,
            freshness_label=(
                FreshnessLabel.FRESH if self.freshness_status == "fresh" else FreshnessLabel.DOWNGRADED
            ),
            voting_status=self.voting_status,
            location_hash=tile_id.location_hash,
            tile_uuid=tile_id.tile_uuid,
            created_at=NOW,
            accessed_at=NOW + timedelta(hours=1) if self.attempted else NOW,
            uploaded_at=NOW if self.uploaded else None,
            upload_attempts=3 if self.attempted else 0,
            pinned=self.pinned,
        )


COMBINATIONS = [
    Facts(position, *facts)
    for position, facts in enumerate(
        product(TileSource, (None, *VotingStatus), ("fresh", "unknown"), *[(False, True)] * 6)
    )
]
WITH_CONTENT = [facts.tile for facts in COMBINATIONS if facts.has_hash and facts.has_size]
WITHOUT_CONTENT = [facts.tile for facts in COMBINATIONS if not (facts.has_hash and facts.has_size)]
EVICTABLE = {tile.tile_id for tile in WITH_CONTENT if may_be_evicted(tile)}
PENDING = {tile.tile_id for tile in WITH_CONTENT if is_pending_upload(tile)}
EVERYTHING = len(COMBINATIONS)

INSERT = SQL("""
    COPY tiles (
        zoom_level, x, y, source, flight_id, captured_at, freshness_status, voting_status, tile_size_pixels,
        ground_sample_distance, created_at, tile_uuid, location_hash, content_sha256, disk_bytes, accessed_at,
        uploaded_at, upload_attempts, pinned, file_missing_at
    ) FROM STDIN
""")
TILES_WHERE = "SELECT zoom_level, x, y, source, flight_id FROM tiles WHERE {}"


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database that holds a row for every combination of facts; no test here may change a row."""
    server = request.getfixturevalue("postgres_server")
    name = server.create_database(template=request.getfixturevalue("_migrated_template"))
    with Database(server.dsn_of(name)) as database:
        with database.connection() as connection, connection.cursor().copy(INSERT) as copy:
            for facts in COMBINATIONS:
                tile, tile_id = facts.tile, facts.tile.tile_id
                copy.write_row(
                    (
                        *(tile_id.zoom_level, tile_id.x, tile_id.y, tile_id.source.value, tile_id.flight_id),
                        tile.captured_at,
                        facts.freshness_status,
                        None if tile.voting_status is None else tile.voting_status.value,
                        *(tile.tile_size_pixels, tile.ground_sample_distance, tile.created_at),
                        *(tile.tile_uuid, tile.location_hash),
                        tile.content_sha256 if facts.has_hash else None,
                        tile.disk_bytes if facts.has_size else None,
                        tile.accessed_at if facts.attempted else None,
                        *(tile.uploaded_at, tile.upload_attempts, tile.pinned),
                        NOW if facts.file_missing else None,
                    )
                )
        yield database
    server.drop_database(name)


@pytest.fixture(scope="module")
def loaded(database: Database) -> tuple[CatalogueColumns, VariantTable]:
    """The catalogue's columns of every row, as a COPY brings them."""
    return PostgresTileRows(database).catalogue()


def in_memory() -> MemoryTileRows:
    rows = MemoryTileRows()
    rows.add({tile.tile_id: tile for tile in WITH_CONTENT})
    for tile in WITHOUT_CONTENT:
        rows.add_row_without_hash(tile)
    return rows


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> TileMetadataStore:
    """A metadata store that holds a row for every combination of facts."""
    if request.param == "memory":
        return in_memory()
    return PostgresTileMetadataStore(request.getfixturevalue("database"))


def tiles_where(database: Database, condition: str) -> set[TileId]:
    with database.connection() as connection:
        rows = connection.execute(TILES_WHERE.format(condition)).fetchall()
    return {TileId(*row[:3], TileSource(row[3]), row[4]) for row in rows}


def ids(tiles: list[TileMetadataPersistent]) -> list[TileId]:
    return [tile.tile_id for tile in tiles]


def assert_exactly(found: list[TileId], expected: Set[TileId]) -> None:
    assert len(found) == len(expected)
    assert set(found) == expected


def test_the_combinations_reach_both_answers_of_each_rule() -> None:
    everything = {tile.tile_id for tile in WITH_CONTENT}
    assert set() < PENDING < everything
    assert set() < EVICTABLE < everything
    assert not PENDING & EVICTABLE
    assert WITHOUT_CONTENT


def test_the_rules_are_those_of_the_specification() -> None:
    for tile in WITH_CONTENT:
        onboard = tile.tile_id.source is TileSource.ONBOARD
        settled = tile.uploaded_at is not None or tile.voting_status in (
            VotingStatus.REJECTED,
            VotingStatus.UPLOAD_GIVEUP,
        )
        assert is_pending_upload(tile) is (onboard and not settled)
        assert may_be_evicted(tile) is not (tile.pinned or (onboard and not settled))


def test_a_metadata_store_lists_exactly_what_may_be_evicted(store: TileMetadataStore) -> None:
    assert_exactly(ids(store.lru_candidates(EVERYTHING)), EVICTABLE)


def test_a_metadata_store_lists_exactly_what_is_pending_for_upload(store: TileMetadataStore) -> None:
    assert_exactly(ids(store.pending_uploads(EVERYTHING)), PENDING)


def test_a_ledger_counts_and_lists_exactly_what_is_pending_for_upload(database: Database) -> None:
    ledger = PostgresUploadLedger(database)
    assert ledger.pending_total() == (len(PENDING), 100 * len(PENDING))
    entries = list(ledger.entries())
    onboard = {tile.tile_id for tile in WITH_CONTENT if tile.tile_id.source is TileSource.ONBOARD}
    assert_exactly([entry.tile.tile_id for entry in entries], onboard)
    assert {entry.tile.tile_id for entry in entries if entry.state is UploadState.PENDING} == PENDING
    assert all(upload_state(entry.tile) is entry.state for entry in entries)


def test_exactly_the_rows_with_hash_and_size_make_tiles(database: Database) -> None:
    rows = PostgresTileRows(database)
    assert_exactly(ids(list(rows.committed())), {tile.tile_id for tile in WITH_CONTENT})
    assert_exactly(list(rows.rows_without_hash()), {tile.tile_id for tile in WITHOUT_CONTENT})


def test_the_partial_indexes_hold_every_row_that_their_queries_look_for(database: Database) -> None:
    indexed = dict(
        database.fetch_all(
            "reading the predicates of indexes",
            """
            SELECT indexrelid::regclass::text, pg_get_expr(indpred, indrelid)
            FROM pg_index WHERE indrelid = 'tiles'::regclass AND indpred IS NOT NULL
            """,
        )
    )
    assert indexed.keys() == {"ix_tiles_pending_uploads", "ix_tiles_incomplete", "ix_tiles_file_missing"}
    missing = tiles_where(database, "file_missing_at IS NOT NULL")
    assert missing
    assert tiles_where(database, indexed["ix_tiles_file_missing"]) == missing
    assert tiles_where(database, indexed["ix_tiles_pending_uploads"]) >= PENDING
    assert tiles_where(database, indexed["ix_tiles_incomplete"]) == tiles_where(
        database, f"NOT {HAS_CONTENT}"
    )


def test_a_copy_gives_each_row_the_flags_of_the_domain(
    loaded: tuple[CatalogueColumns, VariantTable],
) -> None:
    columns, variants = loaded
    found = {
        decode_tile_key(key, variants): flags
        for key, flags in zip(columns.keys.tolist(), columns.flags.tolist(), strict=True)
    }
    assert found == {tile.tile_id: flags_of(tile) for tile in WITH_CONTENT}


@pytest.mark.parametrize("kind", CATALOGUES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("way", ["loaded by a COPY", "loaded from rows", "added"])
def test_a_catalogue_gives_each_tile_the_facts_of_its_row(
    way: str, kind: type[TileCatalogue], loaded: tuple[CatalogueColumns, VariantTable]
) -> None:
    catalogue = kind()
    if way == "added":
        for tile in WITH_CONTENT:
            catalogue.add(tile)
    elif way == "loaded by a COPY":
        catalogue.load(*loaded)
    else:
        variants = VariantTable.naming(ids(WITH_CONTENT))
        catalogue.load(CatalogueColumns.of(WITH_CONTENT, variants), variants)
    assert len(catalogue) == len(WITH_CONTENT)
    for tile in WITH_CONTENT:
        entry = catalogue.get(tile.tile_id)
        assert entry is not None
        assert (entry.pinned, entry.uploaded) == (tile.pinned, tile.uploaded_at is not None)
        assert (entry.voting_status, entry.freshness_label) == (tile.voting_status, tile.freshness_label)
        assert entry.evictable is may_be_evicted(tile)
    candidates = catalogue.lru_candidates(EVERYTHING)
    assert_exactly([candidate.tile_id for candidate in candidates], EVICTABLE)


# The tests from here on remove rows.


def test_an_eviction_in_memory_removes_exactly_what_may_be_evicted() -> None:
    rows = in_memory()
    assert evicted(rows) == EVICTABLE
    assert {tile.tile_id for tile in rows.committed()} == {t.tile_id for t in WITH_CONTENT} - EVICTABLE


def test_an_eviction_in_the_database_removes_exactly_what_may_be_evicted(database: Database) -> None:
    rows = PostgresTileRows(database)
    with database.connection() as connection:
        connection.execute(
            """
            UPDATE disk_usage SET (total_bytes, footprint_bytes, onboard_footprint_bytes) = (
                SELECT sum(disk_bytes), sum(taken), sum(taken) FILTER (WHERE source = 'onboard')
                FROM tiles, LATERAL (SELECT (disk_bytes + 4095) / 4096 * 4096 + 4608) AS each (taken)
            )
            """
        )
    assert evicted(rows) == EVICTABLE
    assert {tile.tile_id for tile in rows.committed()} == {t.tile_id for t in WITH_CONTENT} - EVICTABLE
    assert_exactly(list(rows.rows_without_hash()), {tile.tile_id for tile in WITHOUT_CONTENT})


def evicted(rows: PostgresTileRows | MemoryTileRows) -> set[TileId]:
    gone = set()
    for tile in (*WITH_CONTENT, *WITHOUT_CONTENT):
        with rows.removing(tile.tile_id, evicting=True) as freed_bytes:
            if freed_bytes is not None:
                gone.add(tile.tile_id)
    return gone
