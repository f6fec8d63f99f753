"""The committed tiles of a store for a reader that changes nothing: no recovery, no access time, no write."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..policies.freshness import FreshnessVerdict
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.catalogue_entries import CatalogueMatches, Keys
from ..values.pixels import TilePixelHandle
from ..values.tile_changes import TileChange
from ..values.tile_grid import Bbox
from ..values.tiles import TileId
from ..values.validators import check_timeout
from .catalogue_sync import CatalogueSync
from .read_tile import TileReader
from .recall_guard import RecallGuard, no_recalls
from .recovery import refuse_files_of_another_store


class ReadOnlyTileStore:
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
        self._rows = rows
        self._sync = sync
        self._catalogue = sync.catalogue
        self._judge = judge
        self._recalls = no_recalls() if recalls is None else recalls
        self._read_deadline_s = read_deadline_s
        self._reader = TileReader(
            files=files,
            catalogue=sync.catalogue,
            mapping_cache=sync.mapping_cache,
            when_missing=sync.forget_missing,
            verify_hash=verify_hash,
            recalls=self._recalls,
        )
        self._recalls.when_changed(sync.mapping_cache.invalidate_all)
        self._catalogue.load(*rows.catalogue())

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `ReadableTiles`."""
        return self.read_tile_pixels_within(tile_id, self._read_deadline_s)

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """See `SupportsLocalReads`."""
        return self._reader.read_first(tile_id, check_timeout(timeout_s))

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """See `SupportsLocalReads`."""
        return self._reader.read_bytes(tile_id, self._read_deadline_s)

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `ReadableTiles`."""
        return tile_id in self._catalogue

    def captured_us(self, tile_id: TileId) -> int | None:
        """See `ReadableTiles`."""
        return self._catalogue.captured_us(tile_id)

    def datasets_of(self, tile_ids: Iterable[TileId]) -> dict[TileId, str | None]:
        """See `ReadableTiles`; the database is asked."""
        committed = self._rows.committed_among(tile_ids)
        return {tile_id: row.dataset for tile_id, row in committed.items()}

    def content_sha256(self, tile_id: TileId) -> str | None:
        """See `ReadableTiles`."""
        return self._catalogue.content_sha256(tile_id)

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """See `SupportsLocalReads`."""
        captured_us = self.captured_us(tile_id)
        if captured_us is None:
            return None
        verdict = self._judge(tile_id, captured_us)
        if self._recalls.in_force is None:
            return verdict
        return self._recalls.judged(verdict, tile_id, captured_us, self.content_sha256(tile_id))

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """See `SupportsLocalReads`."""
        return self._recalls.without_recalled(self._catalogue.query_by_bbox(bbox, zoom_level))

    def tile_keys(self) -> Keys:
        """The keys of all tiles, sorted, by a table of their own."""
        return self._catalogue.snapshot()[0]

    def apply_changes(self, changes: Iterable[TileChange]) -> None:
        """See `TileChangeListener`."""
        self._sync.apply(changes)

    def reload(self) -> None:
        """See `TileChangeListener`."""
        self._sync.reload()

    def __len__(self) -> int:
        """How many committed tiles this process knows."""
        return len(self._catalogue)
