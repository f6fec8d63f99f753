"""What a tile store does to its files; ARGUMENT is the DSN of its database."""

from __future__ import annotations

import hashlib
import shutil
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from uuid import UUID

from disk_worker import Operation

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.filesystem.layout import tile_path
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.domain.store.recovery import reconcile
from aerotile.domain.store.repair import repair
from aerotile.domain.store.verify import verify_store
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

Tile = tuple[bytes, TileMetadata]


class TileOperation(Operation):
    """One over tiles that nobody had before, in folders that are not there yet."""

    tiles_at_once = 1
    fresh = count(1)

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.store = runtime.tile_store
        self.files = runtime.files
        self.root = runtime.config.tiles_folder
        self.tiles: list[Tile] = []

    def prepare(self) -> None:
        x = next(self.fresh)
        self.tiles = [self._tile(x, y) for y in range(self.tiles_at_once)]

    def _tile(self, x: int, y: int) -> Tile:
        pixels = example_jpeg(hashlib.shake_128(f"{x}/{y}".encode()).digest(20_000))
        return pixels, example_metadata(
            TileId(18, x, y, TileSource.IMPORTED),
            pixels,
            captured_at=datetime.now(timezone.utc),
            ground_sample_distance=0.59,
        )

    @property
    def tile_id(self) -> TileId:
        return self.tiles[0][1].tile_id

    def write_all(self) -> None:
        for pixels, metadata in self.tiles:
            self.store.write_tile(pixels, metadata)

    def check(self) -> None:
        for pixels, metadata in self.tiles:
            self.runtime.mapping_cache.invalidate(metadata.tile_id)
            with self.store.read_tile_pixels(metadata.tile_id) as handle:
                assert bytes(memoryview(handle)) == pixels

    def undo(self) -> None:
        for _, metadata in self.tiles:
            self.store.delete_tile(metadata.tile_id)


class WriteTile(TileOperation):
    def do(self) -> None:
        self.write_all()


class WriteBatch(TileOperation):
    tiles_at_once = 3

    def do(self) -> None:
        left = [tile for tile in self.tiles if not self.store.tile_exists(tile[1].tile_id)]
        for outcome in self.store.write_tiles(left):
            if outcome.error is not None:
                raise outcome.error


class DeleteTile(TileOperation):
    def prepare(self) -> None:
        super().prepare()
        self.write_all()

    def do(self) -> None:
        if self.store.tile_exists(self.tile_id):
            self.store.delete_tile(self.tile_id)

    def check(self) -> None:
        assert not self.store.tile_exists(self.tile_id)

    def undo(self) -> None:
        """What a failed unlink left goes as it does at the next open."""
        runtime = self.runtime
        reconcile(
            runtime.rows, runtime.files, MemoryTileCatalogue(), now=runtime.clock.now(), lock_timeout_s=5.0
        )


class RestoreSidecar(TileOperation):
    def prepare(self) -> None:
        super().prepare()
        self.write_all()
        (self.root / tile_path(self.tile_id).sidecar).unlink()

    def do(self) -> None:
        self.files.restore_sidecar(self.tile_id, self.tiles[0][1].content_sha256)


class QuarantineTile(TileOperation):
    """The tile is moved, and moved back by hand."""

    def prepare(self) -> None:
        super().prepare()
        self.write_all()

    def do(self) -> None:
        self.files.quarantine(self.tile_id)

    @property
    def kept(self) -> Path:
        return self.root / ".quarantine" / tile_path(self.tile_id).tile

    def check(self) -> None:
        path = tile_path(self.tile_id)
        assert self.kept.read_bytes() == self.tiles[0][0]
        assert {entry.name for entry in self.kept.parent.iterdir()} == {path.name, path.sidecar_name}

    def undo(self) -> None:
        super().undo()
        shutil.rmtree(self.root / ".quarantine")


class Repair(TileOperation):
    """A tile that is damaged on the disk is taken out of the store."""

    def prepare(self) -> None:
        super().prepare()
        self.write_all()
        path = self.root / tile_path(self.tile_id).tile
        path.unlink()
        path.write_bytes(example_jpeg(b" damaged "))

    def do(self) -> None:
        runtime = self.runtime
        for finding in list(verify_store(runtime.rows, runtime.files)):
            self.repaired = repair(finding, runtime.rows, runtime.files, runtime.recorder)

    def check(self) -> None:
        assert self.repaired.fetch_again
        assert (self.root / str(self.repaired.kept_at)).read_bytes() == example_jpeg(b" damaged ")

    def undo(self) -> None:
        shutil.rmtree(self.root / ".quarantine")


class ReadTile(TileOperation):
    """The first read of a tile: nothing is mapped yet."""

    def prepare(self) -> None:
        super().prepare()
        self.write_all()

    def do(self) -> None:
        self.runtime.mapping_cache.invalidate(self.tile_id)
        self.store.read_tile_pixels(self.tile_id).close()


class ReadBytes(ReadTile):
    def do(self) -> None:
        assert self.store.read_tile_bytes(self.tile_id) == self.tiles[0][0]


class HashTile(ReadTile):
    def do(self) -> None:
        assert self.files.content_sha256(self.tile_id) == self.tiles[0][1].content_sha256


class ReadSidecar(ReadTile):
    def do(self) -> None:
        assert self.files.sidecar_sha256(self.tile_id) == self.tiles[0][1].content_sha256


class ListFiles(ReadTile):
    def do(self) -> None:
        assert any(found.tile_id == self.tile_id for found in self.files.inventory())


class OpenStore(TileOperation):
    """A root that is not there yet is made, and marked as this database's."""

    identity = UUID(int=7)

    def prepare(self) -> None:
        self.place = self.root / "elsewhere" / str(next(self.fresh))

    def do(self) -> None:
        with FilesystemTileFiles(self.place / "tiles") as files:
            files.claim(self.identity)

    def check(self) -> None:
        with FilesystemTileFiles(self.place / "tiles") as files:
            assert files.store_id() == self.identity

    def undo(self) -> None:
        shutil.rmtree(self.root / "elsewhere")


class Reconcile(TileOperation):
    """What every open of a store does: orphans and temporaries go, a lost sidecar comes back."""

    def prepare(self) -> None:
        super().prepare()
        self.write_all()
        path = self.root / tile_path(self.tile_id).tile
        path.with_name(f"{path.name}.sha256").unlink()
        self.orphan = path.with_name("77.jpg")
        self.orphan.write_bytes(b"nobody's")

    def do(self) -> None:
        DeleteTile.undo(self)  # type: ignore[arg-type] # it takes what any operation over tiles has

    def check(self) -> None:
        super().check()
        assert not self.orphan.exists()
        assert (self.root / tile_path(self.tile_id).sidecar).exists()


def operations(folder: Path, dsn: str) -> dict[str, Operation]:
    runtime = Runtime(AerotileConfig(root=folder, database=DatabaseConfig(dsn=Secret(dsn))))
    return {
        "write": WriteTile(runtime),
        "batch": WriteBatch(runtime),
        "delete": DeleteTile(runtime),
        "sidecar": RestoreSidecar(runtime),
        "quarantine": QuarantineTile(runtime),
        "repair": Repair(runtime),
        "read": ReadTile(runtime),
        "bytes": ReadBytes(runtime),
        "hash": HashTile(runtime),
        "read sidecar": ReadSidecar(runtime),
        "list": ListFiles(runtime),
        "open": OpenStore(runtime),
        "reconcile": Reconcile(runtime),
    }
