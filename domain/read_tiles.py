"""Reading tiles: the steps of a read that finds nothing kept.

    1. ticket           before anything is asked, so that a removal from here on is noticed in step 5
    2. catalogue        the tile is committed, as far as this process knows; no database
    3. file             opened, mapped and in memory before the deadline
    4. hash             where it is verified: once for each mapping, not for each read
    5. keep             the next read of the tile is a look-up

Whoever removes a tile calls `forget`: first the catalogue forgets it, then what is kept is dropped. So no
read that begins after a removal finds the tile, and none that began before it leaves its pixels behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import attrs

from .errors import ContentHashMismatchError, TileNotFoundError
from .kept_pixels import KeptPixels
from .ports import TilePixelHandle
from .storage import NoMappingLeftError, TileCatalogue, TileFiles
from .tiles import TileId


@attrs.frozen
class TileReader:
    """The read path over the files of a store."""

    files: TileFiles
    catalogue: TileCatalogue
    kept: KeptPixels
    holds: Callable[[TileId], bool]
    """Asked about a tile that the catalogue does not know."""
    verify_hash: bool

    def read_first(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """Open a tile that is not kept and keep it; raises what `TileStore.read_tile_pixels` raises."""
        ticket = self.kept.ticket(tile_id)
        if tile_id not in self.catalogue and not self.holds(tile_id):
            raise TileNotFoundError(tile_id)
        try:
            handle = self.files.open(tile_id, timeout_s)
        except NoMappingLeftError:
            self.kept.make_room()
            handle = self.files.open(tile_id, timeout_s)
        except TileNotFoundError:  # another process deleted it
            self.forget(tile_id)
            raise
        if self.verify_hash and self._differs(tile_id, memoryview(handle), ticket):
            handle.close()
            return self.read_first(tile_id, timeout_s)
        return self.kept.keep(tile_id, handle, ticket)

    def read_bytes(self, tile_id: TileId, timeout_s: float | None) -> bytes:
        """A copy of a tile's bytes, opening nothing for longer; raises what `read_tile_bytes` raises."""
        ticket = self.kept.ticket(tile_id)
        if tile_id not in self.catalogue and not self.holds(tile_id):
            raise TileNotFoundError(tile_id)
        try:
            pixels = self.files.read(tile_id, timeout_s)
        except TileNotFoundError:  # another process deleted it
            self.forget(tile_id)
            raise
        if self.verify_hash and self._differs(tile_id, memoryview(pixels), ticket):
            return self.read_bytes(tile_id, timeout_s)
        self.kept.note(tile_id)
        return pixels

    def forget(self, tile_id: TileId) -> None:
        """Note that a tile is gone: when this returns, no read finds it."""
        self.catalogue.remove(tile_id)
        self.kept.drop(tile_id)

    def _differs(self, tile_id: TileId, pixels: memoryview, ticket: int) -> bool:
        """Hash what was read; True when the tile was replaced meanwhile, so that it must be read anew.

        Raises `ContentHashMismatchError` when these are not the bytes that were committed.
        """
        with pixels:
            actual = hashlib.sha256(pixels).hexdigest()
        entry = self.catalogue.get(tile_id)
        if entry is not None and entry.content_sha256 == actual:
            return False
        if entry is None or self.kept.ticket(tile_id) != ticket:
            return True
        raise ContentHashMismatchError(
            "SHA-256", expected=entry.content_sha256, actual=actual, tile_id=tile_id
        )
