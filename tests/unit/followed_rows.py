"""A follower of rows in memory, and the hand of another process on the same rows and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone

from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.mapping_cache import MemoryMappingCache
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.errors import TileMetadataError
from aerotile.domain.store.catalogue_sync import CatalogueSync
from aerotile.domain.values.tile_changes import TileChange
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)

A, B, C = (TileId(4, x, 0, TileSource.IMPORTED) for x in range(3))


class Rows(MemoryTileRows):
    """Rows that count questions; `overtake` happens between a question and the use of its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[list[TileId]] = []
        self.overtake: Callable[[], None] = lambda: None
        self.impossible: set[TileId] = set()

    def committed_among(self, tile_ids: Iterable[TileId]) -> dict[TileId, TileMetadataPersistent]:
        asked = list(tile_ids)
        self.questions.append(asked)
        if self.impossible & set(asked):
            raise TileMetadataError("an impossible row")
        answer = super().committed_among(asked)
        overtake, self.overtake = self.overtake, lambda: None
        overtake()
        return answer


class Site:
    """One process's follower, and the hand of another process on the same rows and files."""

    def __init__(self) -> None:
        self.rows, self.files, self.catalogue = Rows(), MemoryTileFiles(), MemoryTileCatalogue()
        self.alarms = 0
        self.follower = CatalogueSync(
            self.rows, self.files, self.catalogue, MemoryMappingCache(), when_unsettled=self.alarm
        )
        self.notices: list[TileChange] = []
        self.rows.listen(self.hear)

    def alarm(self) -> None:
        self.alarms += 1

    def hear(self, changes: Sequence[TileChange]) -> None:
        self.notices.extend(changes)

    def tell(self) -> None:
        """What the feed does."""
        notices, self.notices = self.notices, []
        self.follower.apply(notices)

    def commit(self, tile_id: TileId, content: bytes = b"") -> TileMetadataPersistent:
        """A commit without its entry in the catalogue, as another process makes it."""
        pixels = example_jpeg(content)
        metadata = example_metadata(tile_id, pixels, captured_at=NOW)
        with self.rows.insert(metadata, NOW) as row:
            self.files.place(self.files.stage(pixels, metadata))
            return row.commit()

    def remove(self, tile_id: TileId) -> None:
        with self.rows.removing(tile_id):
            self.files.remove(tile_id)

    def write(
        self, tile_id: TileId, content: bytes = b"", before_entry: Callable[[], None] = lambda: None
    ) -> None:
        """What this process's store does; `before_entry` happens between its commit and its entry."""
        with self.follower.changing([tile_id]):
            stored = self.commit(tile_id, content)
            before_entry()
            self.catalogue.add(stored)

    def delete(self, tile_id: TileId, before_entry: Callable[[], None] = lambda: None) -> None:
        with self.follower.changing([tile_id]):
            self.remove(tile_id)
            before_entry()
            self.catalogue.remove(tile_id)

    def agrees(self) -> bool:
        rows = {row.tile_id: row.content_sha256 for row in self.rows.committed()}
        known = {t: None if (e := self.catalogue.get(t)) is None else e.content_sha256 for t in (A, B, C)}
        total = self.catalogue.total_disk_bytes()
        return known == {t: rows.get(t) for t in (A, B, C)} and total == self.rows.total_disk_bytes()
