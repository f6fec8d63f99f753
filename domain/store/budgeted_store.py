"""A disk budget for a tile store that reserves no room itself."""

from __future__ import annotations

from ..errors import DuplicateTileError
from ..ports.headroom import Headroom
from ..ports.tile_store import RecordsLookups, SupportsLocalReads, TileStore
from ..values.disk_usage import footprint
from ..values.pixels import TileBytes, TilePixelHandle
from ..values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource


class BudgetEnforcedTileStore:
    """Any tile store, kept within a budget: room is reserved before each write.

    For a store that does not reserve room itself. `FileBackedTileStore` is given the enforcer instead.
    """

    def __init__(self, store: TileStore, enforcer: Headroom) -> None:
        """The methods of `SupportsLocalReads` and `RecordsLookups` are there when `store` has them."""
        self._store = store
        self._enforcer = enforcer
        # A read of a microsecond has no time for another Python frame. (The ignored complaint is that a
        # method is assigned to; it is one of the same signature.)
        self.read_tile_pixels = store.read_tile_pixels  # type: ignore[method-assign]
        if isinstance(store, SupportsLocalReads):
            self.read_tile_bytes = store.read_tile_bytes
            self.read_tile_pixels_within = store.read_tile_pixels_within
            self.verdict = store.verdict
            self.query_by_bbox = store.query_by_bbox
        if isinstance(store, RecordsLookups):
            self.record_unknown_candidates = store.record_unknown_candidates

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore`."""
        return self._store.read_tile_pixels(tile_id)

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `TileStore`."""
        return self._store.tile_exists(tile_id)

    def delete_tile(self, tile_id: TileId) -> int:
        """See `TileStore`."""
        return self._store.delete_tile(tile_id)

    def write_tile(self, pixels: TileBytes, metadata: TileMetadata) -> TileMetadataPersistent:
        """See `TileStore`; raises `CacheBudgetExhaustedError` when no room can be made."""
        tile_id = metadata.tile_id
        if self._store.tile_exists(tile_id):  # a duplicate evicts nothing
            raise DuplicateTileError(tile_id)
        is_onboard = tile_id.source is TileSource.ONBOARD
        with self._enforcer.reserve_headroom(footprint(metadata.disk_bytes), onboard=is_onboard):
            return self._store.write_tile(pixels, metadata)
