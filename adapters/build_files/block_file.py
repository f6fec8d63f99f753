"""The format of a step's file: a header in JSON, and arrays whose digests the header holds.

magic (8) | length of the header (4) | header | SHA-256 of all before (32) | arrays, one behind the other

The SHA-256 behind the header is the file's digest: it binds the arrays through their own digests. So a reader
checks what it uses and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import BaseSealError
from ..files.atomic_file import atomic_file
from ..files.mapped_file import sha256_of_mapping
from ..files.regular_file import open_regular

_MAGIC = b"AEROBLK1"
_LENGTH = struct.Struct("<I")
_FILE_MODE = 0o644
_FIXED = len(_MAGIC) + _LENGTH.size
_SHA256_BYTES = 32
_MOST_HEADER_BYTES = 64 << 20

Array = npt.NDArray[Any]


@attrs.frozen
class _Part:
    begin: int
    end: int
    sha256: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@attrs.define(eq=False)
class OpenBlock:
    """A mapped file of a step; an array is hashed when it is first asked for."""

    path: Path
    digest: str
    facts: dict[str, Any]
    _mapping: mmap.mmap
    _parts: dict[str, _Part]
    _checked: dict[str, Array] = attrs.field(factory=dict, init=False)

    def array(self, name: str) -> Array:
        """An array, over the mapping. Raises `BaseSealError`, and `OSError` of the disk."""
        if name not in self._checked:
            part = self._parts[name]
            if sha256_of_mapping(self._mapping, self.path, part.begin, part.end) != part.sha256:
                raise _damaged(self.path, f"its {name} are not the ones that were written")
            self._checked[name] = self.unchecked(name)
        return self._checked[name]

    def unchecked(self, name: str) -> Array:
        """An array whose bytes the caller checks by digests of its own."""
        part = self._parts[name]
        count = int(np.prod(part.shape, dtype=np.int64))
        return np.frombuffer(self._mapping, part.dtype, count, part.begin).reshape(part.shape)

    def check(self) -> OpenBlock:
        """Hash every array. Raises as `array`."""
        for name in self._parts:
            self.array(name)
        return self


def write_block(path: Path, facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Write a file, durably and whole or not at all; returns its digest. Raises `OSError`.

    Several writers may write the same file at the same time: each leaves the same bytes.
    """
    contents = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    parts = [
        {
            "name": name,
            "dtype": np.lib.format.dtype_to_descr(array.dtype),
            "shape": list(array.shape),
            "sha256": hashlib.sha256(array.data.cast("B") if array.size else b"").hexdigest(),
        }
        for name, array in contents.items()
    ]
    header = json.dumps({"facts": facts, "arrays": parts}, sort_keys=True).encode("ascii")
    head = _MAGIC + _LENGTH.pack(len(header)) + header
    digest = hashlib.sha256(head)
    with atomic_file(path, _FILE_MODE, temporary=f".{uuid4().hex}.tmp") as file:
        file.write(head)
        file.write(digest.digest())
        for array in contents.values():
            if array.size:
                file.write(array.data.cast("B"))
    return digest.hexdigest()


def open_block(path: Path, digest: str | None = None) -> OpenBlock:
    """Map a file and check its header; `digest` is the one that it must have.

    Raises `BaseSealError`, `FileNotFoundError`, `OSError`.
    """
    descriptor = open_regular(path)
    try:
        size = os.fstat(descriptor).st_size
        if size < _FIXED + _SHA256_BYTES:
            raise _damaged(path, "it ends within its header")
        mapping = mmap.mmap(descriptor, size, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    magic, (length,) = mapping[: len(_MAGIC)], _LENGTH.unpack_from(mapping, len(_MAGIC))
    begin = _FIXED + length + _SHA256_BYTES
    if magic != _MAGIC or length > _MOST_HEADER_BYTES or begin > size:
        raise _damaged(path, "it is no file of a build")
    head = mapping[: _FIXED + length]
    found = hashlib.sha256(head).digest()
    if found != mapping[_FIXED + length : begin] or digest not in (None, found.hex()):
        raise _damaged(path, "its header is not the one that was written")
    header = json.loads(head[_FIXED:])  # of the digest that was written, so of our making
    parts: dict[str, _Part] = {}
    for each in header["arrays"]:
        dtype = np.lib.format.descr_to_dtype(_as_descr(each["dtype"]))
        shape = tuple(each["shape"])
        end = begin + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        parts[each["name"]] = _Part(begin, end, each["sha256"], dtype, shape)
        begin = end
    if begin != size:
        raise _damaged(path, f"it has {size} bytes, not {begin}")
    return OpenBlock(path, found.hex(), header["facts"], mapping, parts)


def _as_descr(value: Any) -> Any:
    """A description of a dtype as NumPy wants it: JSON has lists where it has tuples."""
    return [tuple(each) for each in value] if isinstance(value, list) else value


def _damaged(path: Path, what: str) -> BaseSealError:
    return BaseSealError(f"{path} is damaged: {what}", remedy="remove it and build again")
