"""What this process has open, for tests that hold a call to leave nothing open.

The number of open descriptors alone tells little: garbage of earlier tests and threads of others close some,
and open some, at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from waiting import until


@contextmanager
def leaving_none_open() -> Iterator[None]:
    """Fail where a descriptor that was opened in the block stays open behind it."""
    before = _open_now()
    yield
    until(lambda: _open_now() <= before, "descriptors stay open")


def _open_now() -> set[tuple[str, str]]:
    """Each open descriptor and what it is of."""
    found = set()
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # closed since, as that of the listing itself
            found.add((entry.name, str(entry.readlink())))
    return found
