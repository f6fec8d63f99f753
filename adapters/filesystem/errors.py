"""Errors of the operating system and of the compiled gate as the domain's errors, with remedies."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...domain.errors import (
    ContentHashMismatchError,
    NoMappingLeftError,
    NoTileFileError,
    StoreUnavailableError,
    TileCacheError,
)
from ...domain.policies.hash_gate import picture_error
from ...domain.policies.jpeg import JpegWalk
from ...domain.values.tiles import TileMetadata
from ...ext import GateRefusedError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_IN_THE_WAY = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.EXDEV})
_DAMAGED = frozenset({errno.ENODATA, errno.EBADMSG})


def store_unavailable(doing: str, path: Path, error: OSError) -> StoreUnavailableError:
    """The error to raise when the disk failed while `doing` something with `path`."""
    return StoreUnavailableError(
        f"cannot {doing} {path}: {error.strerror}", remedy=_remedy(error.errno, path)
    )


def no_mapping_left(path: Path, error: OSError) -> NoMappingLeftError:
    """The error to raise when the kernel would not map `path`."""
    return NoMappingLeftError(
        f"cannot map tile file {path}: {error.strerror}", remedy=_remedy(error.errno, path)
    )


def no_tile_file(path: Path) -> NoTileFileError:
    """The error to raise when `path` leads to something that is no regular file."""
    return NoTileFileError(
        f"what stands in the place of tile file {path} is no file", remedy=_remedy(errno.ELOOP, path)
    )


def gate_error(refusal: GateRefusedError, pixels: bytes, metadata: TileMetadata) -> TileCacheError:
    """The error to raise when the compiled hash gate refused the pixels; the domain has the words for it."""
    if isinstance(refusal.actual, tuple):
        return picture_error(JpegWalk.of(refusal.actual), pixels, metadata.tile_id, metadata.tile_size_pixels)
    return ContentHashMismatchError(
        refusal.what, expected=refusal.expected, actual=refusal.actual, tile_id=metadata.tile_id
    )


@contextmanager
def disk_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` of the body into a `StoreUnavailableError`."""
    try:
        yield
    except OSError as error:
        raise store_unavailable(doing, path, error) from error


def _remedy(number: int | None, path: Path) -> str:
    if number in _FULL:
        return "free space on that file system, or lower budget.max_bytes so that eviction begins earlier"
    if number == errno.EROFS:
        return "mount the file system writable; after disk errors, see the kernel log first"
    if number in _FORBIDDEN:
        return "let this process's user read and write there, or run it as the user who owns the store"
    if number in _IN_THE_WAY:
        return (
            "something that is not part of the store stands in that path, such as a symbolic link; remove it"
        )
    if number in _DAMAGED:
        return "the file is damaged; `aerotile verify` names every such tile, fetch them again"
    if number in (errno.EMFILE, errno.ENFILE):
        return "raise the limit on open files (ulimit -n), or close pixel handles that are no longer used"
    if number == errno.ENOMEM:
        return "raise vm.max_map_count, lower reads.max_mappings, or close pixel handles no longer used"
    if number == errno.ENOENT:
        return "the folder was removed while it was in use; put it back, or open the store anew"
    return "check the disk (kernel log, SMART), then open the store anew"
