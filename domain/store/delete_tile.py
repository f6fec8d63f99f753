"""Deleting a tile: the row's removal is committed, then the file is unlinked."""

from __future__ import annotations

import attrs

from ..errors import CommitOutcomeUnknownError, EvictionRefusedError, TileNotFoundError
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.tiles import TileId
from .catalogue_sync import CatalogueSync


@attrs.frozen
class TileDeleter:
    """Deletes tiles for a store and for its disk budget. Safe for threads."""

    rows: TileRows
    files: TileFiles
    sync: CatalogueSync

    def delete_tile(self, tile_id: TileId) -> int:
        """See `TileStore`."""
        return self._delete(tile_id, evicting=False)

    def evict_tile(self, tile_id: TileId) -> int:
        """See `SupportsLocalWrites`."""
        try:
            return self._delete(tile_id, evicting=True)
        except TileNotFoundError:
            self.sync.refresh(tile_id)
            entry = self.sync.catalogue.get(tile_id)
            # One that may be evicted was stored by another process after it was not there.
            if entry is not None and not entry.evictable:
                raise EvictionRefusedError(tile_id) from None
            raise

    def _delete(self, tile_id: TileId, *, evicting: bool) -> int:
        with self.sync.changing([tile_id]):
            try:
                with self.rows.removing(tile_id, evicting=evicting) as freed_bytes:
                    if freed_bytes is not None or not evicting:
                        self.sync.remove(tile_id)
                    if freed_bytes is None:
                        raise TileNotFoundError(tile_id)
                    self.files.remove(tile_id)
                    return freed_bytes
            except CommitOutcomeUnknownError:
                self.sync.remove(tile_id)  # its file may be an orphan by now
                raise
