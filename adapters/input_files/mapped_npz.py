"""The arrays of a `.npz`, mapped where the file holds them in the layout of memory."""

from __future__ import annotations

import mmap
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..available_memory import available_memory_bytes

_LOCAL_HEADER_BYTES = 30
_NAME_LENGTH_AT = 26
"""Offset, in a member's local header, of the lengths of the name and the extra field, 2 bytes each."""
_CHUNK = 16 << 20


def load_arrays(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the file whose names are among `names`, by name and read-only.

    An array that `numpy.savez` stored is mapped once its checksum was compared, and takes no memory of its
    own; if another program cuts the file short, the process is killed. A compressed array is read into memory
    when there is room for it. Raises what numpy and zipfile raise for a damaged or foreign file, and
    `ValueError` when memory does not suffice.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in names:
            try:
                member = archive.getinfo(f"{name}.npy")
            except KeyError:
                continue
            with path.open("rb") as file:
                mapped = _mapped_array(file, member)
            if mapped is None:
                _refuse_bomb(member)
                with archive.open(member) as stream:
                    mapped = np.lib.format.read_array(stream, allow_pickle=False)
            arrays[name] = mapped
    return arrays


def _mapped_array(file: IO[bytes], member: zipfile.ZipInfo) -> npt.NDArray[Any] | None:
    """The member's array inside the file; None when it is compressed, empty, or of an unusual format."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:  # bit 0: encrypted
        return None
    file.seek(member.header_offset + _NAME_LENGTH_AT)
    lengths = file.read(4)
    start = member.header_offset + _LOCAL_HEADER_BYTES + sum(np.frombuffer(lengths, "<u2").tolist())
    file.seek(start)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        return None
    offset = file.tell()
    count = int(np.prod(shape, dtype=object))
    if dtype.hasobject or count == 0:
        return None
    if offset + count * dtype.itemsize != start + member.file_size:
        raise ValueError(f"{member.filename} does not have the length that its shape {shape} asks for")
    mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    _compare_checksum(memoryview(mapping)[start : start + member.file_size], member)
    array = np.frombuffer(mapping, dtype, count, offset)
    return array.reshape(shape, order="F" if by_columns else "C")


def _refuse_bomb(member: zipfile.ZipInfo) -> None:
    """Refuse an array that memory can't hold; zipfile unpacks no more bytes than the archive says."""
    available = available_memory_bytes()
    if available is not None and member.file_size > available:
        raise ValueError(
            f"{member.filename} takes {member.file_size >> 20} MiB of memory when it is unpacked, "
            f"{available >> 20} MiB are available"
        )


def _compare_checksum(content: memoryview, member: zipfile.ZipInfo) -> None:
    checksum = 0
    for start in range(0, len(content), _CHUNK):
        checksum = zlib.crc32(content[start : start + _CHUNK], checksum)
    if checksum != member.CRC:
        raise zipfile.BadZipFile(f"bad CRC-32 of {member.filename}")
