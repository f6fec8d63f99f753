"""The files of a store, as writes, reads and the opening of the store use them.

A store is `FileBackedTileStore` over `TileRows` and `TileFiles`: PostgreSQL and a file system in an aircraft,
memory in tests. The use cases own the order of the steps; the adapters own the SQL and the system calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from ..errors import StoreUnavailableError, TileCacheError
from ..values.inventory import FoundFile, TileInventory
from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId, TileMetadata
from .tile_rows import AwaitedInsert


class StagedTile:
    """A tile that passed the hash gate, with nothing on the disk yet.

    Opaque: only the `TileFiles` that staged the tile knows what it holds.
    """

    __slots__ = ()


MALFORMED_SIDECAR = ""
"""The hash of a sidecar that is not one well-formed line."""


class TileFiles(Protocol):
    """The files of a store; `str` names their location. Every method may raise `StoreUnavailableError`."""

    def store_id(self) -> UUID | None:
        """The identity of the store that claimed these files; None when no store has."""

    def claim(self, store_id: UUID) -> UUID:
        """Durably note `store_id` as the owner, unless the files have one; return the owner."""

    def stage(self, pixels: bytes, metadata: TileMetadata) -> StagedTile:
        """The hash gate: length, SHA-256, and a whole JPEG of the declared size in pixels, before any I/O.

        Raises `ContentHashMismatchError` (length, hash) or `TileMetadataError` (no JPEG).
        """

    def stage_many(self, tiles: Sequence[tuple[bytes, TileMetadata]]) -> list[StagedTile | TileCacheError]:
        """`stage` for a batch; entry i is tile i staged, or the error that refuses tile i."""

    def prewrite(self, staged: StagedTile, awaited: AwaitedInsert | None = None) -> None:
        """Write the bytes to an unlinked file ahead of `place` (optional), without waiting for the disk.

        May then wait for the answer to `awaited` (`OpenRow.answers`), place the file where that answer says
        that the row is inserted, and have the row committed where the file is durable: all in one stretch
        without the interpreter's lock. Never raises; `place`, which comes behind `OpenRow.finish_insert`,
        reports the error of the file, and `OpenRow.commit` that of the row. A crash leaves nothing behind but
        what `place` and `commit` leave.
        """

    def place(self, staged: StagedTile) -> None:
        """Put the file durably in place, and its sidecar, which a power cut may lose or empty.

        Raises `StoreUnavailableError`; then neither is there.
        """

    def place_beside(self, staged: StagedTile) -> None:
        """Put the file durably beside the tile's, under its second name, which carries its digest.

        For a replacement: the tile's own file stays. Raises `StoreUnavailableError`; then it is not there.
        """

    def take_place(self, tile_id: TileId, content_sha256: str) -> bool:
        """Give the file of the second name with this digest the tile's own name, durably, and its sidecar.

        A cut leaves the old file or the new one under the tile's name, and the new one under its second name
        until the tile's name is durable; a second call completes the first. Returns whether the second name
        was there. Handles on the old file stay valid. The caller keeps removals of the tile out.
        """

    def withdraw(self, staged: StagedTile) -> None:
        """Remove what `prewrite`, `place` or `place_beside` made, unless another writer replaced it since.

        Does nothing when nothing was written. `place` may be called again afterwards.
        """

    def prewriting(self, staged: Sequence[StagedTile]) -> AbstractContextManager[None]:
        """Write a batch under temporary names, in the background, ahead of a `place_many` in the context.

        Enter it while `TileRows.locked` is kept out: recovery removes temporary files. Never raises on
        entering; `place_many` reports the error. When the context is left, every background write has
        ended, and the temporary files that were not placed are gone.
        """

    def place_many(self, staged: Sequence[StagedTile]) -> list[StoreUnavailableError | None]:
        """Place a batch durably; entry i is why tile i could not be placed, or None."""

    def open(self, tile_id: TileId, timeout_s: float | None = None) -> TilePixelHandle:
        """The tile's bytes, read-only and in memory: reading them does not wait for the disk.

        Waits for the disk at most `timeout_s` seconds; None: without a limit. Raises `TileNotFoundError`,
        `ReadDeadlineError`, `NoMappingLeftError`.
        """

    def read(self, tile_id: TileId, timeout_s: float | None = None) -> bytes:
        """A copy of the tile's bytes, without mapping them; waits and raises as `open` does."""

    def exists(self, tile_id: TileId) -> bool:
        """Whether the tile's file is there."""

    def remove(self, tile_id: TileId) -> bool:
        """Unlink file and sidecar, not what `place_beside` made. Returns whether the file was there."""

    def quarantine(self, tile_id: TileId) -> str | None:
        """Durably move file and sidecar, or whatever has their names, out of the way.

        Returns the new location of the file; None when there is none. Earlier quarantined files stay.
        """

    def discard(self, found: FoundFile) -> bool:
        """Unlink one file of an inventory. Returns whether the file was still there."""

    def inventory(self) -> TileInventory:
        """Every tile, sidecar, temporary file and replacement under the root, found by name alone.

        A file that is placed or removed during the walk may be listed or not; every other file is listed.
        """

    def restore_sidecar(self, tile_id: TileId, content_sha256: str) -> None:
        """Write the sidecar again, from the database's hash."""

    def content_sha256(self, tile_id: TileId) -> str:
        """The hash of the file as it is on the disk now. Raises `TileNotFoundError`, `NoTileFileError`."""

    def sidecar_sha256(self, tile_id: TileId) -> str | None:
        """The hash in the sidecar: None without a sidecar, `MALFORMED_SIDECAR` when it is malformed."""
