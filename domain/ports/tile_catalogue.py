"""The facts of all committed tiles in the memory of this process, so that reads need no database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol
from uuid import UUID

from ..values.catalogue_entries import (
    CatalogueColumns,
    CatalogueEntry,
    CatalogueMatches,
    EvictionCandidate,
    Keys,
)
from ..values.tile_changes import TileChange
from ..values.tile_grid import Bbox
from ..values.tile_key import VariantTable
from ..values.tiles import TileId, TileMetadataPersistent


class TileCatalogue(Protocol):
    """The facts of all committed tiles in the memory of this process, so that reads need no database.

    Any thread may read at any time without waiting for changes; changes wait for each other. Nothing is
    durable: a store loads its catalogue when it is opened, and keeps it up to date with every commit.
    """

    def load(self, columns: CatalogueColumns, variants: VariantTable, *, since: int | None = None) -> None:
        """Replace all tiles; readers see the old ones until the new ones are complete.

        With `since`, the last value of `mark`, the tiles added and removed after that mark stay added and
        removed, and no access time goes back: so a reload can run beside writers. Raises `ValueError` for a
        key that names no tile by `variants`, for another mark, and for a mark that was used already.
        """

    def mark(self) -> int:
        """Begin a reload: note which tiles change from now on. An earlier mark is void."""

    def add(self, row: TileMetadataPersistent) -> bool:
        """Add or update a committed tile; its access time never goes back.

        Returns whether the content is new: the tile was unknown, or known with another SHA-256.
        """

    def can_name(self, tile_id: TileId, beside: Collection[UUID] = ()) -> bool:
        """Whether `add` has a tile key for the tile: no more than `MAX_FLIGHTS` flights have keys.

        The flights of `beside` are entered before the tile.
        """

    def remove(self, tile_id: TileId) -> bool:
        """Forget a tile; whether it was known."""

    def note_accesses(self, tile_ids: Sequence[TileId], accessed_us: Sequence[int] | Keys) -> None:
        """Record when tiles were last read (microseconds since 1970 UTC, one for each tile).

        Unknown tiles are ignored, and a time never goes back. Raises `ValueError` for unequal lengths.
        """

    def lru_candidates(self, limit: int, *, onboard_only: bool = False) -> list[EvictionCandidate]:
        """The tiles that may be evicted, or the onboard tiles among them, least recently used first.

        Raises `ValueError` for a limit below 1.
        """

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """The tiles of one zoom that cover a point of `bbox`, as `GridRange.covering` has it.

        Raises `ValueError` for a zoom outside 0..22. A box across the antimeridian is two queries.
        """

    def get(self, tile_id: TileId) -> CatalogueEntry | None:
        """The facts of a tile, or None."""

    def captured_us(self, tile_id: TileId) -> int | None:
        """When the ground looked like that, microseconds since 1970 UTC; None for an unknown tile."""

    def content_sha256(self, tile_id: TileId) -> str | None:
        """The SHA-256 of a tile's bytes; None for an unknown tile."""

    def latest_capture_us(self) -> int:
        """The latest capture time of all tiles ever known, microseconds since 1970 UTC; at least 0."""

    def latest_access_us(self) -> int:
        """The latest access time of all tiles ever known, microseconds since 1970 UTC; at least 0."""

    def total_disk_bytes(self) -> int:
        """The sum of all tiles' bytes, kept as one number."""

    def footprint_bytes(self, *, onboard_only: bool = False) -> int:
        """The sum of all tiles' footprints, or of the onboard tiles', kept as one number."""

    def evictable_bytes(self, *, onboard_only: bool = False) -> int:
        """The sum of the footprints of all that `lru_candidates` would list, kept as one number."""

    def snapshot(self) -> tuple[Keys, VariantTable]:
        """The keys of all tiles, sorted and read-only, with the table that decodes them."""

    def __contains__(self, tile_id: TileId) -> bool: ...

    def __len__(self) -> int: ...


class TileChangeListener(Protocol):
    """Receives what any process commits; a store with a catalogue is one."""

    def apply_changes(self, changes: Iterable[TileChange]) -> None:
        """Apply changes in the order of their commits. A call without changes settles unknown outcomes.

        Raises `StoreUnavailableError`; the next call settles the rest.
        """

    def reload(self) -> None:
        """Load all rows again, because changes may have been missed. Raises `StoreUnavailableError`."""
