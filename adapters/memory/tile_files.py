"""The files of a tile store, in memory."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from uuid import UUID

import attrs

from ...domain.errors import (
    StoreUnavailableError,
    TileCacheError,
    TileNotFoundError,
)
from ...domain.policies.hash_gate import check_pixels
from ...domain.ports.tile_files import StagedTile
from ...domain.ports.tile_rows import AwaitedInsert
from ...domain.values.inventory import FoundFile, FoundKind, TileInventory
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.tiles import TileId, TileMetadata


class MemoryTilePixelHandle(mmap.mmap, TilePixelHandle):
    """A read-only map of a nameless file; `mmap` provides the buffer, its export count and `close`.

    A handle that was left while views were alive is unmapped with the last of them, and until then, unlike a
    mapped file's, still gives views: before CPython 3.12 a class in Python can't refuse a view.
    """

    _pixels: bytes
    _left: bool = False

    @property
    def nbytes(self) -> int:
        """See `TilePixelHandle`."""
        self._refuse_when_closed()
        return len(self)

    def share(self) -> TilePixelHandle:
        """See `TilePixelHandle`."""
        self._refuse_when_closed()
        return MemoryTilePixelHandle.of(self._pixels)

    def close(self) -> None:
        """See `TilePixelHandle`."""
        if not self._left:
            super().close()

    def __enter__(self) -> MemoryTilePixelHandle:
        self._refuse_when_closed()
        return self

    def __reduce__(self) -> str:
        raise TypeError("pixels are not pickled: send their bytes, or read the tile in the other process")

    def __exit__(self, *raised: object) -> None:
        with suppress(BufferError):  # the last view unmaps the file
            super().close()
        self._left = True

    def _refuse_when_closed(self) -> None:
        if self.closed or self._left:
            raise ValueError("the pixels are closed")

    @classmethod
    def of(cls, pixels: bytes) -> MemoryTilePixelHandle:
        """A handle on a copy of `pixels`."""
        # Some builds of CPython lack memfd_create.
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("tile")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        with os.fdopen(descriptor, "wb") as file:
            file.write(pixels)
            file.flush()
            handle = cls(descriptor, len(pixels), access=mmap.ACCESS_READ)
        handle._pixels = pixels
        return handle


@attrs.frozen(eq=False)
class _StagedInMemory(StagedTile):
    """See `StagedTile`; once placed it is the stored tile itself."""

    tile_id: TileId
    pixels: bytes
    content_sha256: str


class MemoryTileFiles:
    """A `TileFiles` in memory; nothing is durable. Any number of threads may use it.

    Placing is one step here, so there is never a temporary file.
    """

    def __init__(self) -> None:
        self._tiles: dict[TileId, _StagedInMemory] = {}
        self._sidecars: dict[TileId, str] = {}
        self._beside: dict[tuple[TileId, str], _StagedInMemory] = {}
        """Replacements, by tile and digest."""
        self.quarantined: dict[str, bytes] = {}
        self._store_id: UUID | None = None
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return "memory"

    def store_id(self) -> UUID | None:
        with self._lock:
            return self._store_id

    def claim(self, store_id: UUID) -> UUID:
        with self._lock:
            if self._store_id is None:
                self._store_id = store_id
            return self._store_id

    def stage(self, pixels: bytes, metadata: TileMetadata) -> StagedTile:
        """See `TileFiles`. Raises `TypeError` for anything but `bytes`."""
        if type(pixels) is not bytes:
            raise TypeError(f"pixels must be bytes, got {type(pixels).__name__}")
        check_pixels(pixels, metadata)
        return _StagedInMemory(metadata.tile_id, pixels, metadata.content_sha256)

    def stage_many(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[StagedTile | TileCacheError]:
        staged: list[StagedTile | TileCacheError] = []
        for pixels, metadata in tiles:
            try:
                staged.append(self.stage(pixels, metadata))
            except TileCacheError as error:
                staged.append(error)
        return staged

    def prewrite(self, staged: StagedTile, awaited: AwaitedInsert | None = None) -> None:
        """See `TileFiles`: memory has nothing to wait for."""

    def place(self, staged: StagedTile) -> None:
        """See `TileFiles`: tile and sidecar in one step, over what was there."""
        tile = _own(staged)
        with self._lock:
            self._tiles[tile.tile_id] = tile
            self._sidecars[tile.tile_id] = tile.content_sha256

    def place_beside(self, staged: StagedTile) -> None:
        tile = _own(staged)
        with self._lock:
            self._beside[tile.tile_id, tile.content_sha256] = tile

    def take_place(self, tile_id: TileId, content_sha256: str) -> bool:
        with self._lock:
            tile = self._beside.pop((tile_id, content_sha256), None)
            if tile is None:
                return False
            self._tiles[tile_id] = attrs.evolve(
                tile
            )  # another one, which `withdraw` does not take for its own
            self._sidecars[tile_id] = content_sha256
            return True

    def withdraw(self, staged: StagedTile) -> None:
        tile = _own(staged)
        with self._lock:
            if self._tiles.get(tile.tile_id) is tile:
                del self._tiles[tile.tile_id]
                self._sidecars.pop(tile.tile_id, None)
            if self._beside.get(second_name := (tile.tile_id, tile.content_sha256)) is tile:
                del self._beside[second_name]

    def prewriting(self, staged: Sequence[StagedTile]) -> AbstractContextManager[None]:
        """See `TileFiles`: memory has nothing to wait for."""
        return nullcontext()

    def place_many(self, staged: Sequence[StagedTile]) -> list[StoreUnavailableError | None]:
        for tile in staged:
            self.place(tile)
        return [None] * len(staged)

    def open(self, tile_id: TileId, timeout_s: float | None = None) -> TilePixelHandle:
        """See `TileFiles`; memory always answers in time."""
        return MemoryTilePixelHandle.of(self._pixels(tile_id))

    def read(self, tile_id: TileId, timeout_s: float | None = None) -> bytes:
        return self._pixels(tile_id)

    def exists(self, tile_id: TileId) -> bool:
        with self._lock:
            return tile_id in self._tiles

    def remove(self, tile_id: TileId) -> bool:
        with self._lock:
            self._sidecars.pop(tile_id, None)
            return self._tiles.pop(tile_id, None) is not None

    def quarantine(self, tile_id: TileId) -> str | None:
        with self._lock:
            self._sidecars.pop(tile_id, None)
            tile = self._tiles.pop(tile_id, None)
            if tile is None:
                return None
            kept_at = f"quarantine/{tile_id}.{len(self.quarantined)}"
            self.quarantined[kept_at] = tile.pixels
            return kept_at

    def discard(self, found: FoundFile) -> bool:
        with self._lock:
            if found.kind is FoundKind.TILE:
                return self._tiles.pop(found.tile_id, None) is not None
            if found.kind is FoundKind.REPLACEMENT:
                return self._beside.pop((found.tile_id, found.content_sha256 or ""), None) is not None
            return found.kind is FoundKind.SIDECAR and self._sidecars.pop(found.tile_id, None) is not None

    def inventory(self) -> TileInventory:
        """See `TileFiles`: what is there now."""
        with self._lock:
            found = [FoundFile(FoundKind.TILE, tile_id) for tile_id in self._tiles]
            found += [FoundFile(FoundKind.SIDECAR, tile_id) for tile_id in self._sidecars]
            found += [
                FoundFile(FoundKind.REPLACEMENT, tile_id, f"{tile_id} beside", digest)
                for tile_id, digest in self._beside
            ]
        return TileInventory.of(found)

    def restore_sidecar(self, tile_id: TileId, content_sha256: str) -> None:
        with self._lock:
            self._sidecars[tile_id] = content_sha256

    def content_sha256(self, tile_id: TileId) -> str:
        return hashlib.sha256(self._pixels(tile_id)).hexdigest()

    def sidecar_sha256(self, tile_id: TileId) -> str | None:
        with self._lock:
            return self._sidecars.get(tile_id)

    def _pixels(self, tile_id: TileId) -> bytes:
        with self._lock:
            tile = self._tiles.get(tile_id)
        if tile is None:
            raise TileNotFoundError(tile_id)
        return tile.pixels


def _own(staged: StagedTile) -> _StagedInMemory:
    if not isinstance(staged, _StagedInMemory):
        raise TypeError(f"not staged by a MemoryTileFiles: {staged!r}")
    return staged
