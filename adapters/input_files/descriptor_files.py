"""Descriptors in numpy's files: `.npz` for many with their tiles, `.npy` for one query."""

from __future__ import annotations

import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...domain.values.catalogue_entries import SHA256_BYTES
from ...domain.values.tiles import parse_tile_id
from ...domain.values.validators import is_sha256
from .errors import InputFileError
from .mapped_npz import load_arrays

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...domain.values.tiles import TileId

TILES = "tiles"
DESCRIPTORS = "descriptors"
MODEL = "model"
DIGESTS = "sha256"
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    # An encrypted member, or one that needs a newer zip; an extra field that is cut short.
    RuntimeError,
    struct.error,
    # numpy reads a header as a Python literal, and multiplies the shape that it finds there.
    SyntaxError,
    tokenize.TokenError,
    OverflowError,
)
"""What numpy and zipfile raise for a damaged or foreign file."""
_NAMES_AT_ONCE = 4096
_ROWS_AT_ONCE = 64
_MAX_QUERY_BYTES = 16 << 20
_LAYOUT = (
    f"save it with numpy.savez(file, {TILES}=[tile ids as text], {DESCRIPTORS}=float32 array of shape (n, d))"
)


def read_described_tiles(path: Path) -> tuple[list[TileId], npt.NDArray[np.float32]]:
    """Tile i and row i of the descriptors, from a `.npz`. Raises `InputFileError`.

    Descriptors that `numpy.savez` wrote as float32 stay in the file, mapped: the file must not change.
    Compressed ones and other types are read into memory.
    """
    with _readable(path, "a .npz with descriptors", _LAYOUT):
        arrays = load_arrays(path, (TILES, DESCRIPTORS))
    for name in (TILES, DESCRIPTORS):
        if name not in arrays:
            raise InputFileError(f"{path} holds no array {name!r}", remedy=_LAYOUT)
    names, descriptors = arrays[TILES], arrays[DESCRIPTORS]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise InputFileError(
            f"{path}: {TILES} must be a list of texts, it is {names.dtype} of shape {names.shape}",
            remedy=_LAYOUT,
        )
    if descriptors.ndim != 2 or len(descriptors) != len(names):
        raise InputFileError(
            f"{path}: {DESCRIPTORS} must have shape ({len(names)}, d), it has {descriptors.shape}",
            remedy=_LAYOUT,
        )
    tiles, rows = list(_parsed(path, names)), _as_float32(path, descriptors)
    if _are_alike(rows) and len(set(tiles)) > 1:
        raise InputFileError(
            f"{path}: all {len(rows)} descriptors are the same, so that no search could tell the tiles apart",
            remedy="correct the network or its input, and describe the tiles again",
        )
    return tiles, rows


def read_described_model(path: Path) -> str | None:
    """The name of the network in a `.npz` of `aerotile describe`; None in others. Raises `InputFileError`."""
    with _readable(path, "a .npz with descriptors", _LAYOUT):
        name = load_arrays(path, (MODEL,)).get(MODEL)
    if name is None:
        return None
    if name.dtype.kind != "U" or name.shape != ():
        raise InputFileError(f"{path}: {MODEL} must be one text, it is {name.dtype} of shape {name.shape}")
    return str(name[()])


def read_described_digests(path: Path, count: int) -> npt.NDArray[np.uint8] | None:
    """For each of `count` rows the SHA-256 of the bytes that were described, of shape (count, 32).

    None in a file that does not say. Raises `InputFileError`.
    """
    with _readable(path, "a .npz with descriptors", _LAYOUT):
        texts = load_arrays(path, (DIGESTS,)).get(DIGESTS)
    if texts is None:
        return None
    if texts.dtype.kind != "U" or texts.shape != (count,):
        raise InputFileError(
            f"{path}: {DIGESTS} must be {count} texts, it is {texts.dtype} of shape {texts.shape}",
            remedy="give the SHA-256 of the JPEG that each row was made from, or leave the array out",
        )
    digests = np.empty((count, SHA256_BYTES), np.uint8)
    for start in range(0, count, _NAMES_AT_ONCE):
        part = texts[start : start + _NAMES_AT_ONCE].tolist()
        for position, text in enumerate(part, start):
            if not is_sha256(text):
                raise InputFileError(
                    f"{path}: {DIGESTS}[{position}] must be 64 lower-case hexadecimal digits, got {text!r}",
                    remedy="give the SHA-256 of the JPEG that the row was made from, or leave the array out",
                )
        digests[start : start + len(part)] = np.frombuffer(bytes.fromhex("".join(part)), np.uint8).reshape(
            len(part), SHA256_BYTES
        )
    return digests


def _are_alike(rows: npt.NDArray[np.float32]) -> bool:
    starts = range(0, len(rows), _ROWS_AT_ONCE)
    return all(np.array_equiv(rows[start : start + _ROWS_AT_ONCE], rows[0]) for start in starts)


def _parsed(path: Path, names: npt.NDArray[np.str_]) -> Iterator[TileId]:
    for start in range(0, len(names), _NAMES_AT_ONCE):
        for position, name in enumerate(names[start : start + _NAMES_AT_ONCE].tolist(), start):
            try:
                yield parse_tile_id(name)
            except ValueError as error:
                raise InputFileError(f"{path}: {TILES}[{position}]: {error}", remedy=_LAYOUT) from error


def read_query(path: Path) -> npt.NDArray[np.float32]:
    """One descriptor, of shape (d,) or (1, d), from a `.npy`. Raises `InputFileError`."""
    remedy = "save it with numpy.save(file, float32 array of shape (d,))"
    with _readable(path, "a .npy with one descriptor", remedy):
        if path.stat().st_size > _MAX_QUERY_BYTES:
            raise ValueError(f"it is larger than {_MAX_QUERY_BYTES >> 20} MiB")
        # Given a path, numpy leaves the file open where it begins like an archive and is none.
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            raise ValueError("it holds several arrays")
    if loaded.ndim == 2 and len(loaded) == 1:
        loaded = loaded[0]
    if loaded.ndim != 1:
        raise InputFileError(f"{path}: a query has shape (d,), this one {loaded.shape}", remedy=remedy)
    return _as_float32(path, loaded)


@contextmanager
def _readable(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Translate every error that numpy raises for a damaged or foreign file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that of a header from Python 2
            yield
    except _DAMAGE as error:
        raise InputFileError(f"{path} is not {what}: {error}", remedy=remedy) from error


def _as_float32(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if array.dtype.kind != "f":
        raise InputFileError(f"{path}: descriptors must be floating point, these are {array.dtype}")
    # A number too large for float32 becomes infinite, which every index refuses by name.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)
