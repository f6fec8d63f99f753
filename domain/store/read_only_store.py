"""The committed tiles of a store for a reader that changes nothing: no recovery, no access time, no write."""

from __future__ import annotations

from collections.abc import Callable

from ..policies.freshness import FreshnessVerdict
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.catalogue_entries import Keys
from ..values.tiles import TileId
from .catalogue_sync import CatalogueSync
from .recall_guard import RecallGuard
from .recovery import refuse_files_of_another_store
from .stored_tiles import StoredTiles


class ReadOnlyTileStore(StoredTiles):
    """The tiles that a database and a folder hold, as `ReadableTiles` and `TileChangeListener`.

    Opening it repairs nothing and reading marks nothing, so that a store in use is not disturbed: a row whose
    file is missing is found missing by its read. Safe for threads.
    """

    def __init__(
        self,
        rows: TileRows,
        files: TileFiles,
        *,
        sync: CatalogueSync,
        judge: Callable[[TileId, int], FreshnessVerdict],
        verify_hash: bool = False,
        read_deadline_s: float | None = None,
        recalls: RecallGuard | None = None,
    ) -> None:
        """Load the catalogue of `sync`; `judge` gives the verdict as of now by a capture time.

        `recalls` refuses the tiles of a recall list; default none.
        Raises `StoreUnavailableError`, also when the files belong to another database.
        """
        owner = files.store_id()
        if owner is not None:
            refuse_files_of_another_store(files, ours=rows.store_id(), owner=owner)
        super().__init__(
            rows,
            files,
            sync=sync,
            judge=judge,
            verify_hash=verify_hash,
            read_deadline_s=read_deadline_s,
            recalls=recalls,
        )
        self._recalls.when_changed(sync.mapping_cache.invalidate_all)
        self._catalogue.load(*rows.catalogue())

    def tile_keys(self) -> Keys:
        """The keys of all tiles, sorted, by a table of their own."""
        return self._catalogue.snapshot()[0]
