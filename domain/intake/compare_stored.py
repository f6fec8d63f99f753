"""Whether the store holds an offered tile already: the same one, or another one in its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Protocol

from ..errors import (
    CaptureTimeConflictError,
    ContestedPlaceError,
    OtherImageryError,
    SealedTileError,
    StoreUnavailableError,
    TileCacheError,
    TileNotFoundError,
)
from ..ports.tile_store import ReadableTiles, SupportsLocalWrites
from ..values.tiles import TileId, TileMetadata
from ..values.timestamps import microseconds_of, timestamp_of


class IntakeStore(ReadableTiles, SupportsLocalWrites, Protocol):
    """A tile store as an intake calls it, from several threads."""

    def is_sealed(self, tile_id: TileId) -> bool:
        """Whether a sealed base holds the tile, which can't be changed then."""


class OnContest(str, Enum):
    """What becomes of an offered tile whose place another dataset holds."""

    REFUSE = "refuse"
    """It is listed, and the intake is no success."""
    KEEP = "keep"
    """The stored tile stays, and the offered one is counted."""
    REPLACE = "replace"
    """The offered tile takes the place where its imagery is newer, also that of a tile of the same dataset
    or of none; imagery as old or older is refused."""
    REFRESH = "refresh"
    """As `REPLACE`; but a tile whose bytes are stored under another date is present, and keeps its date."""

    @property
    def replaces(self) -> bool:
        """Whether newer imagery takes the place of older."""
        return self in (OnContest.REPLACE, OnContest.REFRESH)


Holders = Mapping[TileId, str | None]
"""The datasets of those tiles of a batch that are stored; None for a tile without one."""


def holders_of(store: IntakeStore, batch: Iterable[TileMetadata]) -> Holders:
    """Who holds the places of a batch: one question for all of it, and none where no dataset is named.

    Raises `StoreUnavailableError`.
    """
    known = [
        metadata.tile_id
        for metadata in batch
        if metadata.dataset is not None and store.tile_exists(metadata.tile_id)
    ]
    return store.datasets_of(known) if known else {}


def stored_sha256(store: IntakeStore, tile_id: TileId) -> str | None:
    """The digest of the bytes that the store holds; None where it holds none that can be read.

    Raises `StoreUnavailableError`.
    """
    try:
        if not store.tile_exists(tile_id):
            return None
        with store.read_tile_pixels(tile_id) as stored:
            return hashlib.sha256(memoryview(stored)).hexdigest()
    except StoreUnavailableError:
        raise
    except TileCacheError:  # evicted, deleted, damaged: it is fetched whole
        return None


def is_present(store: IntakeStore, pixels: bytes, metadata: TileMetadata, holders: Holders) -> bool:
    """Whether the store holds these bytes of this date, of this dataset or of none.

    Raises `ContestedPlaceError` when another dataset holds the place, or other bytes without a dataset do;
    `OtherImageryError` when the same dataset holds other bytes (`SealedTileError`: a base does);
    `CaptureTimeConflictError` for these bytes under another date; `StoreUnavailableError`. Bytes that differ
    from the claimed SHA-256 count as absent: the store's hash gate refuses them.
    """
    tile_id, dataset = metadata.tile_id, metadata.dataset
    if not store.tile_exists(tile_id):
        return False
    if hashlib.sha256(pixels).hexdigest() != metadata.content_sha256:
        return False
    if dataset is not None and tile_id not in holders:  # stored since the holders were read
        holders = store.datasets_of([tile_id])
    holder = holders.get(tile_id, dataset)
    if dataset is not None and holder is not None and holder != dataset:
        raise ContestedPlaceError(tile_id, dataset, holder)
    try:
        with store.read_tile_pixels(tile_id) as stored:
            same = bytes(memoryview(stored)) == pixels
    except TileNotFoundError:  # evicted or deleted meanwhile
        return False
    if not same:
        if dataset is not None and holder is None:
            raise ContestedPlaceError(tile_id, dataset, None)
        raise SealedTileError(tile_id) if store.is_sealed(tile_id) else OtherImageryError(tile_id)
    captured_us = store.captured_us(tile_id)
    if captured_us is not None and captured_us != microseconds_of(metadata.captured_at):
        raise CaptureTimeConflictError(
            tile_id,
            timestamp_of(captured_us),
            metadata.captured_at,
            is_sealed=store.is_sealed(tile_id),
        )
    return True
