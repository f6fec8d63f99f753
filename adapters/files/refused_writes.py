"""Writes that a disk refuses, as errors of whoever writes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ...domain.errors import AerotileError

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def refused_by_disk(kind: type[AerotileError], what: str, *, then: str) -> Iterator[None]:
    """Raise an `OSError` as `kind`: `what` failed, and `then` is what to do once the disk is mended."""
    try:
        yield
    except OSError as error:
        cure = "let this user write there" if error.errno in _FORBIDDEN else "make room or mend the disk"
        raise kind(f"{what}: {error.strerror or error}", remedy=f"{cure}, then {then}") from error
