"""Tiles whose files are gone or damaged, where a command needs every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...domain.errors import ContentHashMismatchError, TileNotFoundError
from .errors import JobFailedError


@contextmanager
def lost_tiles_refused() -> Iterator[None]:
    """Errors of a tile that has a row and no whole file, with what to do about it."""
    try:
        yield
    except (ContentHashMismatchError, TileNotFoundError) as error:
        is_gone = isinstance(error, TileNotFoundError)
        raise JobFailedError(
            f"the file of tile {error.tile_id} is gone" if is_gone else str(error),
            remedy="take it out of the store with aerotile verify --repair, bring it in anew, and run again",
        ) from error
