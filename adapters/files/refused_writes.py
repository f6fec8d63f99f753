"""Writes that a disk refuses, as errors of whoever writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...domain.errors import AerotileError


@contextmanager
def refused_by_disk(kind: type[AerotileError], what: str, *, then: str) -> Iterator[None]:
    """Raise an `OSError` as `kind`: `what` failed, and `then` is what to do once the disk is mended."""
    try:
        yield
    except OSError as error:
        raise kind(
            f"{what}: {error.strerror or error}", remedy=f"make room or mend the disk, then {then}"
        ) from error
