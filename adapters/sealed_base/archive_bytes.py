"""The archive of a mapped base as bytes, for readers of PMTiles that ask for ranges."""

from __future__ import annotations

import threading

from .manifest import ARCHIVE_FILE
from .mapped_base import MappedBase


class ArchiveBytes:
    """Ranges of `tiles.pmtiles`; a part of it is hashed before its first byte is given. Safe for threads."""

    def __init__(self, base: MappedBase, *, verify: bool = True) -> None:
        """Without `verify` parts are given as they are."""
        self._base = base
        self._verify = verify
        self._checked: set[int] = set()
        self._lock = threading.Lock()
        sealed = base.signed.manifest.files[ARCHIVE_FILE]
        self._part_bytes = sealed.part_bytes
        self.name = base.signed.manifest.name
        """Of the generation."""
        self.size = sealed.size
        """Bytes of the archive."""
        self.digest = sealed.digest
        """Names the content: another archive has another one."""

    def read(self, begin: int, end: int) -> bytes:
        """A copy of the bytes from `begin` to `end`, which is excluded.

        Waits for the disk. Raises `BaseUnavailableError` for a damaged part, `ValueError` for bytes that are
        not there.
        """
        if self._verify:
            for number in range(begin // self._part_bytes, -(-end // self._part_bytes)):
                self._check(number)
        with self._base.archive.part(begin, end - begin) as part:
            return bytes(memoryview(part))

    def _check(self, number: int) -> None:
        with self._lock:
            if number in self._checked:
                return
        self._base.check_part(ARCHIVE_FILE, number)
        with self._lock:
            self._checked.add(number)
