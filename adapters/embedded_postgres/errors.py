"""Errors of the disk, as the domain's `StoreUnavailableError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...domain.errors import StoreUnavailableError


@contextmanager
def disk_errors(doing: str, data_folder: Path) -> Iterator[None]:
    """Turn an `OSError` of the body into a `StoreUnavailableError`."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(
            f"can't {doing} the database in {data_folder}: {error}",
            remedy="check that the folder is yours to write and the disk has room",
        ) from error
