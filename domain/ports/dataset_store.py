"""The datasets that a store's tiles come from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..values.datasets import Dataset


@runtime_checkable
class DatasetStore(Protocol):
    """The datasets that are defined. Every method raises `StoreUnavailableError` without a database.

    A dataset is never removed: tiles name it.
    """

    def define(self, dataset: Dataset) -> None:
        """Define a dataset. The very same dataset may be defined again.

        Raises `DatasetConflictError` when the name stands for other facts; the first ones stay.
        """

    def amend(self, dataset: Dataset) -> None:
        """Put licence, attribution, permission or capture date of a defined dataset right.

        Raises `UnknownDatasetError`, and `DatasetConflictError` for another source or digest: that is another
        dataset.
        """

    def find(self, name: str) -> Dataset:
        """The dataset of that name. Raises `UnknownDatasetError`."""

    def datasets(self) -> tuple[Dataset, ...]:
        """All datasets, ordered by name."""
