"""Whether tiles of a dataset may go into the store at all."""

from __future__ import annotations

from ..errors import DatasetNotStorableError, DatasetSourceChangedError
from ..ports.dataset_store import DatasetStore
from ..values.datasets import Dataset, SourceDigest


def admit_dataset(datasets: DatasetStore, name: str, found: SourceDigest | None = None) -> Dataset:
    """The dataset of that name, which may be stored offline; asked before a tile is read.

    `found` is the digest of the source at hand. It must be the dataset's, where both are taken over the same.
    Raises `UnknownDatasetError`, `DatasetNotStorableError`, `DatasetSourceChangedError`,
    `StoreUnavailableError`.
    """
    dataset = datasets.find(name)
    if not dataset.may_be_stored_offline:
        raise DatasetNotStorableError(name, dataset.licence)
    if found is not None and found.of is dataset.digest_of and found.sha256 != dataset.source_sha256:
        raise DatasetSourceChangedError(name, dataset.source_sha256, found.sha256)
    return dataset
