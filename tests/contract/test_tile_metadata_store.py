"""The contract of `TileMetadataStore`, held by PostgreSQL and by memory with and without transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest

from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.domain.errors import CacheBudgetExhaustedError
from aerotile.domain.ports.tile_rows import TileRows
from aerotile.domain.values.disk_usage import footprint
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource
from aerotile.testing import (
    MemoryTileMetadataStore,
    MemoryTileRows,
    TileMetadataStoreContract,
    TileMetadataStoreSubject,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


class TestTileMetadataStore(TileMetadataStoreContract):
    @pytest.fixture(params=["memory", "rows in memory", "postgres"])
    def subject(self, request: pytest.FixtureRequest) -> Iterator[TileMetadataStoreSubject]:
        if request.param == "memory":
            yield of_metadata_alone()
            return
        if request.param == "rows in memory":
            memory = MemoryTileRows()
            yield TileMetadataStoreSubject(memory, inserting_into(memory))
            return
        from aerotile.adapters.postgres.connection import Database
        from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
        from aerotile.adapters.postgres.tile_rows import PostgresTileRows

        with Database(request.getfixturevalue("migrated_database"), max_size=16) as database:
            store = PostgresTileMetadataStore(database)
            yield TileMetadataStoreSubject(store, inserting_into(PostgresTileRows(database)))


def of_metadata_alone() -> TileMetadataStoreSubject:
    times: list[datetime] = []
    store = MemoryTileMetadataStore(now=lambda: times.pop() if times else NOW)

    def insert_at(metadata: TileMetadata, created_at: datetime) -> TileMetadataPersistent:
        times.append(created_at)
        return store.insert_metadata(metadata)

    return TileMetadataStoreSubject(store, insert_at)


def inserting_into(rows: TileRows) -> Callable[[TileMetadata, datetime], TileMetadataPersistent]:
    def insert_at(metadata: TileMetadata, created_at: datetime) -> TileMetadataPersistent:
        with rows.insert(metadata, created_at) as row:
            return row.commit()

    return insert_at


def test_an_insertion_over_the_budget_is_refused(migrated_database: str) -> None:
    from aerotile.adapters.postgres.connection import Database
    from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore

    with Database(migrated_database) as database:
        postgres = PostgresTileMetadataStore(database, disk_budget_bytes=footprint(150))
        for store in (postgres, MemoryTileRows(disk_budget_bytes=footprint(150))):
            store.insert_metadata(described(1))
            with pytest.raises(CacheBudgetExhaustedError):
                store.insert_metadata(described(2))
            assert store.total_disk_bytes() == 100


def described(x: int) -> TileMetadata:
    return example_metadata(
        TileId(12, x, 0, TileSource.IMPORTED), b"a" * 100, captured_at=NOW, ground_sample_distance=1.25
    )
