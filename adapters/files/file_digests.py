"""The digests of a large file by parts, so that every core hashes some of it when the file is opened."""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from .mapped_file import sha256_of_mapping

PART_BYTES = 4 << 20
"""About three milliseconds of one core: many parts for many cores, and 70 bytes of metadata for each."""


@attrs.frozen
class PartDigests:
    """The SHA-256 of each part of a file."""

    parts: tuple[str, ...]
    """Of each `part_bytes` bytes, 64 lower hexadecimal digits; the last part may be shorter."""
    part_bytes: int

    @property
    def root(self) -> str:
        """The SHA-256 of the parts' digests, one behind the other: it binds them all."""
        return hashlib.sha256(self.raw()).hexdigest()

    def raw(self) -> bytes:
        """The parts' digests as bytes, 32 for each."""
        return bytes.fromhex("".join(self.parts))

    def first_difference(self, mapping: mmap.mmap, path: Path) -> int | None:
        """Hash every page of the mapped file; where the first part begins that is not the one known, or None.

        The parts are shared among the cores that this process may use, the caller's first. The first search
        finds the pages in memory. Raises `OSError` when the disk does not give a page.
        """
        starts = range(0, len(mapping), self.part_bytes)
        if len(starts) != len(self.parts):
            return min(len(starts), len(self.parts)) * self.part_bytes

        waiting = deque(zip(starts, self.parts, strict=True))
        differing: list[int] = []

        def compare() -> None:
            try:
                while not differing:
                    try:
                        start, known = waiting.popleft()
                    except IndexError:  # all are taken
                        return
                    if sha256_of_mapping(mapping, path, start, start + self.part_bytes) != known:
                        differing.append(start)
            finally:
                waiting.clear()  # after an error or Ctrl-C no thread begins another part

        helpers = min(len(starts), len(os.sched_getaffinity(0))) - 1
        if helpers < 1:
            compare()
        else:
            with ThreadPoolExecutor(helpers) as threads:
                helping = [threads.submit(compare) for _ in range(helpers)]
                compare()
                for each in helping:
                    each.result()
        return min(differing, default=None)


@attrs.frozen
class FileDigests(PartDigests):
    """The SHA-256 of a file and of its parts."""

    sha256: str
    """Of the whole file, 64 lower hexadecimal digits, for people and tools."""

    @classmethod
    def of_one_part(cls, sha256: str) -> FileDigests:
        """The digests of a file that is hashed in one piece."""
        return cls((sha256,), sys.maxsize, sha256)


class PartHasher:
    """Hashes the parts of a file while the file is written."""

    def __init__(self, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._part = hashlib.sha256()
        self._missing = part_bytes
        """Bytes that the current part lacks."""
        self._parts: list[str] = []

    def update(self, content: bytes | memoryview) -> None:
        """Count the next bytes of the file."""
        rest = memoryview(content)
        while rest:
            taken, rest = rest[: self._missing], rest[self._missing :]
            self._part.update(taken)
            self._missing -= len(taken)
            if not self._missing:
                self._end_part()

    def digests(self) -> PartDigests:
        """The digests of all bytes counted; no more can be counted."""
        if self._missing < self._part_bytes:
            self._end_part()
        return PartDigests(tuple(self._parts), self._part_bytes)

    def _end_part(self) -> None:
        self._parts.append(self._part.hexdigest())
        self._part, self._missing = hashlib.sha256(), self._part_bytes


class DigestingWriter:
    """Counts the digests of a file, as a whole and by parts, while it is written."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._parts = PartHasher(PART_BYTES)

    def update(self, content: bytes) -> None:
        """Count the next bytes of the file."""
        self._whole.update(content)
        self._parts.update(content)

    def digests(self) -> FileDigests:
        """The digests of all bytes counted; no more can be counted."""
        parts = self._parts.digests()
        return FileDigests(parts.parts, parts.part_bytes, self._whole.hexdigest())
