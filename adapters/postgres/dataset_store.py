"""Datasets in PostgreSQL."""

from __future__ import annotations

from typing import Any

import attrs
from psycopg.rows import TupleRow

from ...domain.errors import DatasetConflictError, StoreUnavailableError, UnknownDatasetError
from ...domain.values.datasets import Dataset, DigestOf, is_dataset_name
from ...domain.values.validators import check_kind
from .connection import Database

COLUMNS = tuple(field.name for field in attrs.fields(Dataset))
"""Each field of a dataset has a column of its own."""
INSERT_DATASET = f"""
    INSERT INTO datasets ({", ".join(COLUMNS)}) VALUES ({", ".join(f"%({name})s" for name in COLUMNS)})
    ON CONFLICT DO NOTHING RETURNING true
"""
UPDATE_DATASET = """
    UPDATE datasets SET
        licence = %(licence)s, attribution = %(attribution)s,
        may_be_stored_offline = %(may_be_stored_offline)s,
        captured_at = %(captured_at)s, captured_from = %(captured_from)s
    WHERE name = %(name)s AND source = %(source)s AND source_sha256 = %(source_sha256)s
        AND digest_of = %(digest_of)s
    RETURNING true
"""
SELECT_DATASETS = f"SELECT {', '.join(COLUMNS)} FROM datasets"
SELECT_DATASET = f"{SELECT_DATASETS} WHERE name = %s"


class PostgresDatasetStore:
    """`DatasetStore` over PostgreSQL, for any number of threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def define(self, dataset: Dataset) -> None:
        """See `DatasetStore`; committed when it returns."""
        check_kind(dataset, Dataset, "dataset")
        doing = f"defining the dataset {dataset.name}"
        if self._database.change(doing, INSERT_DATASET, _values(dataset)):
            return
        defined = self.find(dataset.name)
        if defined != dataset:
            raise DatasetConflictError(dataset.name, defined.differences(dataset))

    def amend(self, dataset: Dataset) -> None:
        """See `DatasetStore`; committed when it returns."""
        check_kind(dataset, Dataset, "dataset")
        doing = f"amending the dataset {dataset.name}"
        if not self._database.change(doing, UPDATE_DATASET, _values(dataset)):
            defined = self.find(dataset.name)
            raise DatasetConflictError(dataset.name, defined.differences(dataset))

    def find(self, name: str) -> Dataset:
        check_kind(name, str, "name")
        if not is_dataset_name(name):  # the database takes no text with a lone surrogate or a null character
            raise UnknownDatasetError(name)
        rows = self._database.fetch_all(f"reading the dataset {name}", SELECT_DATASET, (name,))
        if not rows:
            raise UnknownDatasetError(name)
        return _read(rows[0])

    def datasets(self) -> tuple[Dataset, ...]:
        found = map(_read, self._database.fetch_all("reading the datasets", SELECT_DATASETS))
        return tuple(sorted(found, key=lambda dataset: dataset.name))


def _values(dataset: Dataset) -> dict[str, Any]:
    return attrs.asdict(dataset) | {"digest_of": dataset.digest_of.value}


def _read(row: TupleRow) -> Dataset:
    facts = dict(zip(COLUMNS, row, strict=True))
    try:
        return Dataset(**facts | {"digest_of": DigestOf(facts["digest_of"])})
    except ValueError as error:
        raise StoreUnavailableError(
            f"the database holds an impossible dataset {facts['name']!r}: {error}",
            remedy="correct its row in the table datasets",
        ) from error
