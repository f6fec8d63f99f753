"""The contract of `DatasetStore`, held by PostgreSQL and by memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aerotile.domain.ports.dataset_store import DatasetStore
from aerotile.testing import DatasetStoreContract, MemoryDatasetStore


class TestDatasetStore(DatasetStoreContract):
    @pytest.fixture(params=["memory", "postgres"])
    def store(self, request: pytest.FixtureRequest) -> Iterator[DatasetStore]:
        if request.param == "memory":
            yield MemoryDatasetStore()
            return
        from aerotile.adapters.postgres.connection import Database
        from aerotile.adapters.postgres.dataset_store import PostgresDatasetStore

        with Database(request.getfixturevalue("migrated_database")) as database:
            yield PostgresDatasetStore(database)
