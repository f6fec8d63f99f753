"""The files of a generation as mappings whose pages can be had."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
from pathlib import Path

from .generations import open_generation_file

_HASHED_AT_ONCE = 16 << 20
_MADV_POPULATE_READ = 22  # of linux/mman.h; Python's mmap does not name it


def map_generation_file(folder: Path, name: str) -> mmap.mmap:
    """Map a file of the generation in `folder` for reading. Raises `OSError`, also for an empty file."""
    descriptor = open_generation_file(folder, name)
    try:
        if os.fstat(descriptor).st_size == 0:
            raise OSError(0, "it is empty", str(folder / name))
        return mmap.mmap(descriptor, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)


def populate(mapping: mmap.mmap, begin: int, end: int, path: Path) -> None:
    """Have the kernel read the pages of bytes `begin` to `end`; raises `OSError` for one that it can't read.

    A touch of a page that the disk does not give, or of a file that is being cut short, would end the process
    with SIGBUS. Kernels before 5.14 can't be asked: there nothing happens.
    """
    start = begin - begin % mmap.PAGESIZE
    try:
        mapping.madvise(_MADV_POPULATE_READ, start, end - start)
    except OSError as error:
        if error.errno == errno.EFAULT:
            raise OSError(errno.EIO, "the disk does not give all of it", str(path)) from error
        if error.errno != errno.EINVAL:
            raise


def sha256_of_mapping(mapping: mmap.mmap, path: Path, begin: int = 0, end: int | None = None) -> str:
    """Hash bytes `begin` to `end`, so that the first search finds their pages in memory. Raises `OSError`."""
    digest = hashlib.sha256()
    end = len(mapping) if end is None else min(end, len(mapping))
    with memoryview(mapping) as content:
        for start in range(begin, end, _HASHED_AT_ONCE):
            stop = min(start + _HASHED_AT_ONCE, end)
            populate(mapping, start, stop, path)
            digest.update(content[start:stop])
    return digest.hexdigest()
