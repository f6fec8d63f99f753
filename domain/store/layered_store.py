"""A sealed base in front of a store, which takes what the aircraft makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from operator import itemgetter

import numpy as np

from ..errors import (
    CaptureTimeConflictError,
    DuplicateTileError,
    SealedTileError,
    TileCacheError,
    TileNotFoundError,
)
from ..flight_events import WriteStep
from ..make_events import write_failed_event
from ..policies.clock_trust import ClockFault
from ..policies.freshness import FreshnessVerdict
from ..ports.flight_recorder import FlightRecorder
from ..ports.tile_store import AmendedTile, ReadableTiles, ReplacedTile, TileWriteOutcome
from ..values.catalogue_entries import CatalogueMatches
from ..values.listed_matches import ListedMatches
from ..values.pixels import TileBytes, TilePixelHandle
from ..values.tile_grid import Bbox
from ..values.tile_key import VariantTable, encode_tile_key
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent
from ..values.timestamps import microseconds_of, timestamp_of
from ..values.validators import check_kind, taken_as
from .tile_store import FileBackedTileStore
from .write_batch import checked_batch


class LayeredTiles:
    """`ReadableTiles` of a base and, beyond it, of an overlay. A tile of the base wins over its twin."""

    def __init__(self, base: ReadableTiles, overlay: ReadableTiles) -> None:
        self.base = base
        self._beyond = overlay

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore`."""
        return self._layer(tile_id).read_tile_pixels(tile_id)

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """See `SupportsLocalReads`."""
        # Asking the base first whether it holds the tile may wait for the disk, without this time to wait.
        try:
            return self.base.read_tile_pixels_within(tile_id, timeout_s)
        except TileNotFoundError:
            return self._beyond.read_tile_pixels_within(tile_id, timeout_s)

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """See `SupportsLocalReads`."""
        return self._layer(tile_id).read_tile_bytes(tile_id)

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `TileStore`."""
        return self.base.tile_exists(tile_id) or self._beyond.tile_exists(tile_id)

    def captured_us(self, tile_id: TileId) -> int | None:
        """See `ReadableTiles`."""
        return self._layer(tile_id).captured_us(tile_id)

    def datasets_of(self, tile_ids: Iterable[TileId]) -> dict[TileId, str | None]:
        """See `ReadableTiles`; the database is asked for tiles beyond the base only."""
        tile_ids = taken_as(tile_ids, TileId, "tile_ids")
        sealed = self.base.datasets_of(tile_ids)
        beyond = [tile_id for tile_id in tile_ids if tile_id not in sealed]
        return sealed | (self._beyond.datasets_of(beyond) if beyond else {})

    def content_sha256(self, tile_id: TileId) -> str | None:
        """See `ReadableTiles`."""
        sealed = self.base.content_sha256(tile_id)
        return self._beyond.content_sha256(tile_id) if sealed is None else sealed

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """See `SupportsLocalReads`."""
        return self._layer(tile_id).verdict(tile_id)

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """See `SupportsLocalReads`; a tile that both layers hold is listed once, as the base has it."""
        sealed = self.base.query_by_bbox(bbox, zoom_level)
        made = self._beyond.query_by_bbox(bbox, zoom_level)
        return _both(sealed, made) if len(made) else sealed

    def __len__(self) -> int:
        """How many tiles both layers hold; a twin counts twice."""
        return len(self.base) + len(self._beyond)

    def _layer(self, tile_id: TileId) -> ReadableTiles:
        return self.base if self.base.tile_exists(tile_id) else self._beyond


class LayeredTileStore(LayeredTiles):
    """A `TileStore` whose tiles lie in a sealed base and, beyond it, in an overlay. Safe for threads.

    A tile of the base wins over its twin in the overlay. Writing a tile that the base holds is a duplicate;
    deleting, evicting, amending or replacing it is refused. Also implements `SupportsLocalReads`,
    `SupportsLocalWrites` and `RecordsLookups`.
    """

    def __init__(
        self,
        base: ReadableTiles,
        overlay: FileBackedTileStore,
        *,
        recorder: FlightRecorder,
        read_pixels: Callable[[TileId], TilePixelHandle] | None = None,
    ) -> None:
        """`read_pixels` does in one call what `read_tile_pixels` says, for a base that can."""
        super().__init__(base, overlay)
        self.overlay = overlay
        self._recorder = recorder
        if read_pixels is not None:
            # A Python frame around it would be a good part of a read. (The ignored complaint is that a method
            # is assigned to; it is one of the same signature.)
            self.read_tile_pixels = read_pixels  # type: ignore[method-assign, assignment]

    def is_sealed(self, tile_id: TileId) -> bool:
        """Whether the base holds the tile, which can't be changed then."""
        return self.base.tile_exists(tile_id)

    @property
    def clock_fault(self) -> ClockFault | None:
        """See `FileBackedTileStore`."""
        return self.overlay.clock_fault

    def write_tile(self, pixels: TileBytes, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileStore`; a tile that the base holds is a duplicate."""
        check_kind(metadata, TileMetadata, "metadata")
        if self.base.tile_exists(metadata.tile_id):
            raise self._duplicate(metadata)
        return self.overlay.write_tile(pixels, metadata)

    def write_tiles(self, tiles: Iterable[tuple[TileBytes, TileMetadata]]) -> list[TileWriteOutcome]:
        """See `SupportsLocalWrites`; a tile that the base holds is a duplicate."""
        batch = [(tile, self.base.tile_exists(tile[1].tile_id)) for tile in checked_batch(tiles)]
        new = [tile for tile, is_sealed in batch if not is_sealed]
        written = iter(self.overlay.write_tiles(new) if new else [])
        return [
            TileWriteOutcome(metadata.tile_id, error=self._duplicate(metadata))
            if is_sealed
            else next(written)
            for (_, metadata), is_sealed in batch
        ]

    def record_unknown_candidates(self, tile_ids: Sequence[TileId]) -> None:
        """See `RecordsLookups`."""
        self.overlay.record_unknown_candidates(tile_ids)

    def amend_capture_time(self, tile_id: TileId, captured_at: datetime) -> AmendedTile:
        """See `SupportsLocalWrites`. Raises `SealedTileError` for a tile of the base."""
        self._refuse_sealed(tile_id)
        return self.overlay.amend_capture_time(tile_id, captured_at)

    def replace_tile(self, pixels: TileBytes, metadata: TileMetadata) -> ReplacedTile:
        """See `SupportsLocalWrites`. Raises `SealedTileError` for a tile of the base."""
        check_kind(metadata, TileMetadata, "metadata")
        self._refuse_sealed(metadata.tile_id)
        return self.overlay.replace_tile(pixels, metadata)

    def delete_tile(self, tile_id: TileId) -> int:
        """See `TileStore`. Raises `SealedTileError` for a tile of the base."""
        self._refuse_sealed(tile_id)
        return self.overlay.delete_tile(tile_id)

    def evict_tile(self, tile_id: TileId) -> int:
        """See `SupportsLocalWrites`. Raises `SealedTileError` for a tile of the base."""
        self._refuse_sealed(tile_id)
        return self.overlay.evict_tile(tile_id)

    def _refuse_sealed(self, tile_id: TileId) -> None:
        if self.base.tile_exists(tile_id):
            raise SealedTileError(tile_id)

    def _duplicate(self, metadata: TileMetadata) -> DuplicateTileError:
        """Why a tile of the base is refused: the same bytes under another date are named as that."""
        tile_id = metadata.tile_id
        error = DuplicateTileError(tile_id)
        with suppress(TileCacheError):  # of a damaged base a vaguer reason must do
            captured_us = self.base.captured_us(tile_id)
            is_other_date = captured_us not in (None, microseconds_of(metadata.captured_at))
            same_bytes = self.base.content_sha256(tile_id) == metadata.content_sha256
            if captured_us is not None and is_other_date and same_bytes:
                error = CaptureTimeConflictError(
                    tile_id, timestamp_of(captured_us), metadata.captured_at, is_sealed=True
                )
        self._recorder.record(write_failed_event(tile_id, WriteStep.INSERT, error))
        return error


def _both(first: CatalogueMatches, second: CatalogueMatches) -> CatalogueMatches:
    """The tiles of both, with keys of a table of their own; of a tile that both hold, the first entry."""
    by_id = {entry.tile_id: entry for entry in second} | {entry.tile_id: entry for entry in first}
    variants = VariantTable.naming([*first.tile_ids(), *second.tile_ids()])
    by_key = sorted(((encode_tile_key(tile_id, variants), tile_id) for tile_id in by_id), key=itemgetter(0))
    keys = np.array([key for key, _ in by_key], np.int64)
    return ListedMatches(keys, [by_id[tile_id] for _, tile_id in by_key])
