"""A dataset store in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ...domain.errors import DatasetConflictError, UnknownDatasetError
from ...domain.values.datasets import Dataset
from ...domain.values.validators import check_kind


class MemoryDatasetStore:
    """A `DatasetStore` in memory; nothing is durable. Any number of threads may use it."""

    def __init__(self, datasets: Iterable[Dataset] = ()) -> None:
        self._lock = threading.Lock()
        self._by_name = {dataset.name: dataset for dataset in datasets}

    def define(self, dataset: Dataset) -> None:
        check_kind(dataset, Dataset, "dataset")
        with self._lock:
            defined = self._by_name.setdefault(dataset.name, dataset)
        if defined != dataset:
            raise DatasetConflictError(dataset.name, defined.differences(dataset))

    def amend(self, dataset: Dataset) -> None:
        check_kind(dataset, Dataset, "dataset")
        with self._lock:
            defined = self._by_name.get(dataset.name)
            if defined is not None and defined.is_of_source(dataset):
                self._by_name[dataset.name] = dataset
                return
        if defined is None:
            raise UnknownDatasetError(dataset.name)
        raise DatasetConflictError(dataset.name, defined.differences(dataset))

    def find(self, name: str) -> Dataset:
        check_kind(name, str, "name")
        with self._lock:
            dataset = self._by_name.get(name)
        if dataset is None:
            raise UnknownDatasetError(name)
        return dataset

    def datasets(self) -> tuple[Dataset, ...]:
        with self._lock:
            return tuple(sorted(self._by_name.values(), key=lambda dataset: dataset.name))
