"""The committed tiles of a store, read by the catalogue of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..errors import ForkedProcessError
from ..policies.freshness import FreshnessVerdict
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.catalogue_entries import CatalogueMatches
from ..values.pixels import TilePixelHandle
from ..values.tile_changes import TileChange
from ..values.tile_grid import Bbox
from ..values.tiles import TileId
from ..values.validators import check_timeout, taken_as
from .catalogue_sync import CatalogueSync
from .read_tile import TileReader
from .recall_guard import RecallGuard, no_recalls


class StoredTiles:
    """`ReadableTiles` and `TileChangeListener` over the catalogue of `sync`. Safe for threads.

    Every read opens the tile's file.
    """

    def __init__(
        self,
        rows: TileRows,
        files: TileFiles,
        *,
        sync: CatalogueSync,
        judge: Callable[[TileId, int], FreshnessVerdict],
        verify_hash: bool,
        read_deadline_s: float | None,
        recalls: RecallGuard | None,
        check_process: Callable[[], None] = lambda: None,
    ) -> None:
        """`judge` gives the verdict as of now by a capture time in microseconds since 1970.

        With `verify_hash` pixels are hashed once each time that they are opened. A read waits for the disk at
        most `read_deadline_s` seconds; None: without a limit. `recalls` refuses the tiles of a recall list;
        None: no tile is refused.
        `check_process` raises `ForkedProcessError` in a process that must not follow changes.
        """
        self._check_process = check_process  # first: what is pickled first says why nothing of it is
        self._rows = rows
        self._sync = sync
        self._catalogue = sync.catalogue
        self._recalls = no_recalls() if recalls is None else recalls
        self._reader = TileReader(
            files=files,
            catalogue=sync.catalogue,
            mapping_cache=sync.mapping_cache,
            when_missing=self._forget_missing,
            verify_hash=verify_hash,
            recalls=self._recalls,
            accepts=self._accepts,
        )
        self._judge = judge
        self._read_deadline_s = read_deadline_s

    def _forget_missing(self, tile_id: TileId) -> None:
        try:
            self._check_process()
        except ForkedProcessError:
            return  # the locks of the catalogue may be held by threads that a forked child does not have
        self._sync.forget_missing(tile_id)

    def _accepts(self, tile_id: TileId, content_sha256: str) -> bool:
        try:
            self._check_process()
        except ForkedProcessError:
            return False  # a forked child has the tiles of the fork, and its parent's locks are not its own
        return self._sync.accepts(tile_id, content_sha256)

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore`."""
        return self._reader.read_first(tile_id, self._read_deadline_s)

    def read_tile_pixels_within(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """See `SupportsLocalReads`."""
        return self._reader.read_first(tile_id, check_timeout(timeout_s))

    def read_tile_bytes(self, tile_id: TileId) -> bytes:
        """See `SupportsLocalReads`."""
        return self._reader.read_bytes(tile_id, self._read_deadline_s)

    def tile_exists(self, tile_id: TileId) -> bool:
        """See `TileStore`."""
        return tile_id in self._catalogue

    def captured_us(self, tile_id: TileId) -> int | None:
        """See `ReadableTiles`."""
        return self._catalogue.captured_us(tile_id)

    def datasets_of(self, tile_ids: Iterable[TileId]) -> dict[TileId, str | None]:
        """See `ReadableTiles`; the database is asked."""
        committed = self._rows.committed_among(taken_as(tile_ids, TileId, "tile_ids"))
        return {tile_id: row.dataset for tile_id, row in committed.items()}

    def content_sha256(self, tile_id: TileId) -> str | None:
        """See `ReadableTiles`."""
        return self._catalogue.content_sha256(tile_id)

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        """See `SupportsLocalReads`."""
        captured_us = self._catalogue.captured_us(tile_id)
        if captured_us is None:
            return None
        verdict = self._judge(tile_id, captured_us)
        if self._recalls.in_force is None:
            return verdict
        return self._recalls.judged(verdict, tile_id, captured_us, self.content_sha256(tile_id))

    def judge(self, tile_id: TileId, captured_us: int) -> FreshnessVerdict:
        """The verdict as of now on a tile by its capture time, in microseconds since 1970."""
        return self._judge(tile_id, captured_us)

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """See `SupportsLocalReads`."""
        return self._recalls.without_recalled(self._catalogue.query_by_bbox(bbox, zoom_level))

    def apply_changes(self, changes: Iterable[TileChange]) -> None:
        """See `TileChangeListener`."""
        self._check_process()
        self._sync.apply(changes)

    def reload(self) -> None:
        """See `TileChangeListener`; reads and writes go on during the reload."""
        self._check_process()
        self._sync.reload()

    def __len__(self) -> int:
        """How many committed tiles this process knows."""
        return len(self._catalogue)
