"""Reading tiles: the steps of a read whose tile has no cached mapping.

    1. ticket           taken first, so that a removal from here on is noticed in step 5
    2. catalogue        the tile is committed, as far as this process knows; no list recalls it; no database
    3. file             opened, mapped and in memory before the deadline
    4. hash             where it is verified: once for each mapping, not for each read
    5. cache            the next read of the tile is a look-up

A removal works in the other order: the tile leaves the catalogue, then the cache. So a read that begins after
a removal does not find the tile, and a read that began before it leaves no mapping behind. A recall list
works like that too: it is in force, then every mapping leaves the cache.

When all of a file is in memory, a read waits for nothing, and `FastReader` takes these steps in one.
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
from ..values.timestamps import microseconds_of
from ..values.validators import check_kind
from .recall_guard import RecallGuard


class FastReader(Protocol):
    """A whole read in one call where it waits for nothing; otherwise the slow read is called."""

    def read_pixels(self, tile_id: TileId) -> TilePixelHandle:
        """See `TileStore.read_tile_pixels`."""

    def read_bytes(self, tile_id: TileId) -> bytes:
        """See `SupportsLocalReads.read_tile_bytes`."""

    def check_by(self, check: Callable[[TileId], None] | None) -> None:
        """Call `check`, which may raise, in each read of a tile that is not cached; None: call nothing."""


@runtime_checkable
class SupportsFastReader(Protocol):
    """Files that can be read without waiting where the file is in memory."""

    def fast_reader(
        self,
        mapping_cache: MappingCache,
        catalogue: TileCatalogue,
        *,
        slow_read_pixels: Callable[[TileId], TilePixelHandle],
        slow_read_bytes: Callable[[TileId], bytes],
    ) -> FastReader | None:
        """Reads of the tiles in `catalogue`, without verifying hashes; the last two are the slow reads.

        None when these files or these parts do not support it.
        """


@attrs.frozen
class TileReader:
    """The read path over the files of a store."""

    files: TileFiles
    catalogue: TileCatalogue
    mapping_cache: MappingCache
    when_missing: Callable[[TileId], None]
    """Called with a tile whose file does not exist: another process deletes it, or has just replaced it."""
    verify_hash: bool
    recalls: RecallGuard
    accepts: Callable[[TileId, str], bool]
    """Called with the hash of bytes that are not the catalogue's: whether they are committed all the same,
    because the tile was replaced a moment ago. It may ask the database; no other step of a read does."""

    def check_recalls(self, tile_id: TileId) -> None:
        """Raise `TileRecalledError` for a tile that the recall list in force names."""
        if self.recalls.in_force is not None and (entry := self.catalogue.get(tile_id)) is not None:
            self.recalls.check(tile_id, microseconds_of(entry.captured_at), entry.content_sha256)

    def read_first(self, tile_id: TileId, timeout_s: float | None) -> TilePixelHandle:
        """Open a tile without a cached mapping and cache it; raises as `TileStore.read_tile_pixels` does."""
        ticket, expected = self._begin(tile_id)
        try:
            try:
                handle = self.files.open(tile_id, timeout_s)
            except NoMappingLeftError:
                self.mapping_cache.make_room()
                handle = self.files.open(tile_id, timeout_s)
        except TileNotFoundError:
            self.when_missing(tile_id)
            raise
        if self.verify_hash and self._differs(tile_id, memoryview(handle), ticket, expected):
            handle.close()
            return self.read_first(tile_id, timeout_s)
        return self.mapping_cache.put(tile_id, handle, ticket)

    def read_bytes(self, tile_id: TileId, timeout_s: float | None) -> bytes:
        """A copy of a tile's bytes, without caching a mapping; raises what `read_tile_bytes` raises."""
        ticket, expected = self._begin(tile_id)
        try:
            pixels = self.files.read(tile_id, timeout_s)
        except TileNotFoundError:
            self.when_missing(tile_id)
            raise
        if self.verify_hash and self._differs(tile_id, memoryview(pixels), ticket, expected):
            return self.read_bytes(tile_id, timeout_s)
        self.mapping_cache.note(tile_id)
        return pixels

    def _begin(self, tile_id: TileId) -> tuple[int, str | None]:
        """The ticket of a read and, where hashes are verified, the hash that the catalogue has before it.

        Raises `TileNotFoundError`, `TileRecalledError`.
        """
        ticket = self.mapping_cache.ticket(tile_id)
        if tile_id not in self.catalogue:
            check_kind(tile_id, TileId, "tile_id")
            raise TileNotFoundError(tile_id)
        self.check_recalls(tile_id)
        entry = self.catalogue.get(tile_id) if self.verify_hash else None
        return ticket, None if entry is None else entry.content_sha256

    def _differs(self, tile_id: TileId, pixels: memoryview, ticket: int, expected: str | None) -> bool:
        """Verify the hash; True when the tile was replaced during the read, which must be repeated then.

        Raises `ContentHashMismatchError` when these are not the committed bytes.
        """
        with pixels:
            actual = hashlib.sha256(pixels).hexdigest()
        entry = self.catalogue.get(tile_id)
        if entry is not None and (entry.content_sha256 == actual or self.accepts(tile_id, actual)):
            return False
        if entry is None or entry.content_sha256 != expected or self.mapping_cache.ticket(tile_id) != ticket:
            return True
        raise ContentHashMismatchError(
            "SHA-256", expected=entry.content_sha256, actual=actual, tile_id=tile_id
        )
