"""Reading tiles: the steps of a read that finds nothing kept.

    1. ticket           before anything is asked, so that a removal from here on is noticed in step 5
    2. catalogue        the tile is committed, as far as this process knows; no database
    3. file             opened, mapped and in memory before the deadline
    4. hash             where it is verified: once for each mapping, not for each read
    5. keep             the next read of the tile is a look-up

Whoever removes a tile turns steps 2 and 5 round: first out of the catalogue, then out of what is kept.
So no read that begins after a removal finds the tile, and none that began before it leaves its pixels behind.

Where the caches have all of a file there is nothing to wait for, and `FastReader` takes these steps in one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import attrs

from ..errors import ContentHashMismatchError, NoMappingLeftError, TileNotFoundError
from ..ports.mapping_cache import MappingCache
from ..ports.tile_catalogue import TileCatalogue
from ..ports.tile_files import TileFiles
from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId


class FastReader(Protocol):
    """The whole of a read in one call where there is nothing to wait for; else the long way is called."""

    def read_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore.read_tile_pixels`."""
        ...

    def read_bytes(self, tile_id: TileId) -> bytes:
        """See `SupportsLocalReads.read_tile_bytes`."""
        ...


@runtime_checkable
class SupportsFastReader(Protocol):
    """Files that may be read at once."""

    def fast_reader(
        self,
        mapping_cache: MappingCache,
        catalogue: TileCatalogue,
        *,
        slow_read_pixels: Callable[[TileId], TilePixelHandle],
        slow_read_bytes: Callable[[TileId], bytes],
    ) -> FastReader | None:
        """Reads of what `catalogue` holds, without verifying hashes; the last two are the long way.

        None when these files, or these other parts, can't be read like that.
        """
        ...


@attrs.frozen
class TileReader:
    """The read path over the files of a store."""

    files: TileFiles
    catalogue: TileCatalogue
    mapping_cache: MappingCache
    when_missing: Callable[[TileId], None]
    """Is told of a tile whose file was not there: another process deletes it, or has replaced it by now."""
    verify_hash: bool

    def read_first(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """Open a tile that is not kept and keep it; raises what `TileStore.read_tile_pixels` raises."""
        ticket = self.mapping_cache.ticket(tile_id)
        if tile_id not in self.catalogue:
            raise TileNotFoundError(tile_id)
        try:
            try:
                handle = self.files.open(tile_id, timeout_s)
            except NoMappingLeftError:
                self.mapping_cache.make_room()
                handle = self.files.open(tile_id, timeout_s)
        except TileNotFoundError:
            self.when_missing(tile_id)
            raise
        if self.verify_hash and self._differs(tile_id, memoryview(handle), ticket):
            handle.close()
            return self.read_first(tile_id, timeout_s)
        return self.mapping_cache.put(tile_id, handle, ticket)

    def read_bytes(self, tile_id: TileId, timeout_s: float | None) -> bytes:
        """A copy of a tile's bytes, opening nothing for longer; raises what `read_tile_bytes` raises."""
        ticket = self.mapping_cache.ticket(tile_id)
        if tile_id not in self.catalogue:
            raise TileNotFoundError(tile_id)
        try:
            pixels = self.files.read(tile_id, timeout_s)
        except TileNotFoundError:
            self.when_missing(tile_id)
            raise
        if self.verify_hash and self._differs(tile_id, memoryview(pixels), ticket):
            return self.read_bytes(tile_id, timeout_s)
        self.mapping_cache.note(tile_id)
        return pixels

    def _differs(self, tile_id: TileId, pixels: memoryview, ticket: int) -> bool:
        """Hash what was read; True when the tile was replaced meanwhile, so that it must be read anew.

        Raises `ContentHashMismatchError` when these are not the bytes that were committed.
        """
        with pixels:
            actual = hashlib.sha256(pixels).hexdigest()
        entry = self.catalogue.get(tile_id)
        if entry is not None and entry.content_sha256 == actual:
            return False
        if entry is None or self.mapping_cache.ticket(tile_id) != ticket:
            return True
        raise ContentHashMismatchError(
            "SHA-256", expected=entry.content_sha256, actual=actual, tile_id=tile_id
        )
