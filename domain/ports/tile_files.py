"""The files of a store, as its write path, its reads and its opening use them.

A store is `FileBackedTileStore` over `TileRows` and `TileFiles`: PostgreSQL and a file system in an aircraft,
memory in tests. The use cases own the order of the steps; the adapters own the SQL and the system calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from ..errors import StoreUnavailableError, TileCacheError
from ..values.inventory import FoundFile, TileInventory
from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId, TileMetadata


class StagedTile(Protocol):
    """A tile whose bytes passed the hash gate and can now be placed. Nothing is on the disk yet."""

    def prewrite(self) -> None:
        """Do what can be done of `place` while no name leads to it, or nothing; never fails.

        A crash leaves nothing of it. Whatever hinders it is for `place` to report.
        """
        ...

    def place(self) -> None:
        """Put file and sidecar durably in place. Raises `StoreUnavailableError`; then neither is there."""
        ...

    def withdraw(self) -> None:
        """Remove what `prewrite` and `place` made, unless another writer has replaced them since."""
        ...


MALFORMED_SIDECAR = ""
"""What a sidecar claims that is not one well-formed line."""


class TileFiles(Protocol):
    """The files of a store; `str` names the place. Every method may raise `StoreUnavailableError`."""

    def store_id(self) -> UUID | None:
        """The identity of the store that these files belong to; None when no store has claimed them."""
        ...

    def claim(self, store_id: UUID) -> UUID:
        """Note durably that the files belong to this store, unless one was first; return whose they are."""
        ...

    def stage(self, pixels: bytes, metadata: TileMetadata) -> StagedTile:
        """The hash gate: length, SHA-256, and the JPEG start and end markers, before any I/O.

        Raises `ContentHashMismatchError` (length, hash) or `TileMetadataError` (no JPEG).
        """
        ...

    def stage_many(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[StagedTile | TileCacheError]:
        """`stage` for a batch; entry i is what tile i was staged as, or the error that refuses it."""
        ...

    def prewriting(self, staged: Sequence[StagedTile]) -> AbstractContextManager[Callable[[], object]]:
        """Yield what begins to write tiles under temporary names, for a `place_many` within.

        What is yielded returns at once and never fails: what hinders it is for `place_many` to report. It may
        be called once `TileRows.locked` is kept out, or not at all. When the context is left, nothing is
        under way any more, and what was written and not placed is gone.
        """
        ...

    def place_many(self, staged: Sequence[StagedTile]) -> list[StoreUnavailableError | None]:
        """Place a batch durably; entry i is why tile i could not be placed, or None."""
        ...

    def open(self, tile_id: TileId, timeout_s: float | None = None) -> TilePixelHandle:
        """The tile's bytes, read-only, and in memory: reading them waits for no disk.

        Waits for the disk at most `timeout_s` seconds; None: as long as it takes. Raises `TileNotFoundError`,
        `ReadDeadlineError`, `NoMappingLeftError`.
        """
        ...

    def read(self, tile_id: TileId, timeout_s: float | None = None) -> bytes:
        """A copy of the tile's bytes, without mapping them; waits and raises as `open` does."""
        ...

    def exists(self, tile_id: TileId) -> bool:
        """Whether the tile's file is there."""
        ...

    def remove(self, tile_id: TileId) -> bool:
        """Unlink file and sidecar; whether the file was there."""
        ...

    def quarantine(self, tile_id: TileId) -> str | None:
        """Move file and sidecar, or what stands in their place, out of the way, durably.

        Returns where the file is now; None when there is none. What was quarantined before stays.
        """
        ...

    def discard(self, found: FoundFile) -> bool:
        """Unlink one file of an inventory; whether it was still there."""
        ...

    def inventory(self) -> TileInventory:
        """Every tile, sidecar and temporary file under the root, by their names alone.

        What is placed or removed meanwhile may be in it or not; everything else is.
        """
        ...

    def restore_sidecar(self, tile_id: TileId, content_sha256: str) -> None:
        """Write the sidecar anew from the database's hash."""
        ...

    def content_sha256(self, tile_id: TileId) -> str:
        """Hash the file as it is on the disk now. Raises `TileNotFoundError`, `NoTileFileError`."""
        ...

    def sidecar_sha256(self, tile_id: TileId) -> str | None:
        """What the sidecar claims: None when it is missing, `MALFORMED_SIDECAR` when it is no such line."""
        ...
