"""`tiles.contents`: for each row of `tiles.rows` the first 8 bytes of the SHA-256 of the tile's bytes.

A search never reads it. `aerotile ready`, `status` and `verify` compare it with the tiles that are there now.
Eight bytes find out every tile that was replaced but for one in 1.8e19.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...domain.errors import IndexUnavailableError
from ...domain.values.descriptors import IndexMetadata
from ..files.atomic_file import new_file
from ..files.mapped_file import map_generation_file, sha256_of_mapping
from ..index_files import CONTENTS_FILE, METADATA_FILE
from .generations import REMEDY

PREFIX_BYTES = 8


def write_contents(
    folder: Path, keys: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8], *, mode: int
) -> str:
    """Write and sync the file from row i under key i, and return its SHA-256.

    `digests` has shape (n, 8) or more bytes a row. The folder is for the caller to sync. Raises `OSError`.
    """
    order = np.argsort(keys, kind="stable")
    content = digests[order, :PREFIX_BYTES].tobytes()
    with new_file(folder / CONTENTS_FILE, mode) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def read_contents(folder: Path, metadata: IndexMetadata) -> npt.NDArray[np.uint8] | None:
    """For each row, in the order of `tiles.rows`, the bytes that the file has, of shape (n, 8).

    None for an index without the file. Raises `IndexUnavailableError` for a damaged one.
    """
    if metadata.contents_sha256 is None:
        return None
    path = folder / CONTENTS_FILE
    try:
        mapping = map_generation_file(folder, CONTENTS_FILE)
        is_whole = sha256_of_mapping(mapping, path) == metadata.contents_sha256
    except OSError as error:
        raise IndexUnavailableError(
            f"{error.filename or path} can't be read: {error.strerror or error}", remedy=REMEDY
        ) from error
    if not is_whole or len(mapping) != PREFIX_BYTES * metadata.count:
        raise IndexUnavailableError(f"{path} is not the file that {METADATA_FILE} describes", remedy=REMEDY)
    return np.frombuffer(mapping, np.uint8).reshape(metadata.count, PREFIX_BYTES)
