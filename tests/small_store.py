"""A store over a real folder with its rows in memory: nothing but the disk under its files can fail."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import Path

import attrs
from disk_faults import files_below

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.store_parts import small_store_parts
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.errors import AerotileError, StoreUnavailableError
from aerotile.domain.store.catalogue_sync import CatalogueSync
from aerotile.domain.store.recall_guard import RecallGuard
from aerotile.domain.store.tile_store import FileBackedTileStore
from aerotile.domain.store.verify import verify_store
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource
from aerotile.ext import CompiledMappingCache, CompiledTileCatalogue

TILE_BYTES = 5_000


def tile(x: int, y: int) -> tuple[bytes, TileMetadata]:
    pixels = example_jpeg(hashlib.shake_128(f"{x}/{y}".encode()).digest(TILE_BYTES), TILE_BYTES)
    return pixels, example_metadata(
        TileId(18, x, y, TileSource.IMPORTED),
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.59,
    )


class SmallStore:
    """Opens the store below `root`; `rows` are those of another one over the same folder."""

    def __init__(
        self, root: Path, rows: MemoryTileRows | None = None, recalls: RecallGuard | None = None
    ) -> None:
        self.root = root
        self.rows = MemoryTileRows() if rows is None else rows
        self.files = FilesystemTileFiles(root)
        clock, recorder = SystemClock(), MemoryFlightRecorder()
        sync = CatalogueSync(
            self.rows,
            self.files,
            CompiledTileCatalogue(),
            CompiledMappingCache(max_count=16, max_bytes=1 << 20),
        )
        parts = small_store_parts(self.rows, self.files, clock=clock, recorder=recorder, sync=sync)
        self.store = FileBackedTileStore(attrs.evolve(parts, recalls=recalls or parts.recalls))

    def committed(self) -> set[TileId]:
        return {row.tile_id for row in self.rows.committed()}

    def write(self, x: int, y: int) -> StoreUnavailableError | None:
        try:
            self.store.write_tile(*tile(x, y))
        except StoreUnavailableError as error:
            return error
        return None

    def write_batch(self, x: int, count: int) -> list[AerotileError | None]:
        outcomes = self.store.write_tiles([tile(x, y) for y in range(count)])
        return [outcome.error for outcome in outcomes]

    def assert_whole(self) -> None:
        """What is committed is on the disk and whole, and nothing else is, for this process and the next."""
        expected = {}
        for row in self.rows.committed():
            path = f"imported/18/{row.tile_id.x}/{row.tile_id.y}.jpg"
            expected[path] = row.content_sha256
            line = f"{row.content_sha256}  {row.tile_id.y}.jpg\n"
            expected[f"{path}.sha256"] = hashlib.sha256(line.encode()).hexdigest()
            with self.store.read_tile_pixels(row.tile_id) as handle:
                assert hashlib.sha256(handle).hexdigest() == row.content_sha256
        found = files_below(self.root)
        found.pop(".aerotile-store")
        assert found == expected
        assert self.rows.total_disk_bytes() == sum(row.disk_bytes for row in self.rows.committed())
        anew = SmallStore(self.root, self.rows)
        try:
            assert {finding.kind for finding in verify_store(anew.rows, anew.files)} == set()
            assert len(anew.store) == len(self.committed())
        finally:
            anew.files.close()
