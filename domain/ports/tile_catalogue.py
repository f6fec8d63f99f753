"""What this process knows of all committed tiles, so that reads need no database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

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
    """What this process knows of all committed tiles, so that reads need no database.

    Any thread may read at any time without waiting for changes; changes wait for each other. Nothing is
    durable: it is loaded when a store is opened and follows what is committed since.
    """

    def load(self, columns: CatalogueColumns, variants: VariantTable, *, since: int | None = None) -> None:
        """Replace everything; readers see the old tiles until the new ones are all there.

        With `since`, the last value of `mark`, the tiles added and removed after that mark stay added and
        removed, and no access time goes back: so a reload can run beside writers. Raises `ValueError` for a
        key that names no tile by `variants`, for another mark, and for a mark that was used already.
        """
        ...

    def mark(self) -> int:
        """Begin a reload: remember which tiles change from now on. An earlier mark is given up."""
        ...

    def add(self, row: TileMetadataPersistent) -> bool:
        """Note a committed tile as it is now; its access time never goes back.

        Returns whether the content is news: the tile was not known, or with another SHA-256.
        """
        ...

    def remove(self, tile_id: TileId) -> bool:
        """Forget a tile; whether it was known."""
        ...

    def note_accesses(self, tile_ids: Sequence[TileId], accessed_us: Sequence[int] | Keys) -> None:
        """Note when tiles were last read (microseconds since 1970 UTC, one for each tile).

        Unknown tiles are ignored, and time never goes back. Raises `ValueError` for unequal lengths.
        """
        ...

    def lru_candidates(self, limit: int) -> list[EvictionCandidate]:
        """The tiles that may be evicted, least recently used first.

        Raises `ValueError` for a limit below 1.
        """
        ...

    def query_by_bbox(self, bbox: Bbox, zoom_level: int) -> CatalogueMatches:
        """The tiles of one zoom that cover a point of `bbox`, as `GridRange.covering` has it.

        Raises `ValueError` for a zoom outside 0..22. A box across the antimeridian is two queries.
        """
        ...

    def get(self, tile_id: TileId) -> CatalogueEntry | None:
        """What is known of a tile, or None."""
        ...

    def captured_us(self, tile_id: TileId) -> int | None:
        """When the ground looked like that, microseconds since 1970 UTC; None for an unknown tile."""
        ...

    def latest_capture_us(self) -> int:
        """The latest capture time of all tiles ever known, microseconds since 1970 UTC; at least 0."""
        ...

    def latest_access_us(self) -> int:
        """The latest access time of all tiles ever known, likewise."""
        ...

    def total_disk_bytes(self) -> int:
        """The sum of all tiles' bytes, kept as one number."""
        ...

    def snapshot(self) -> tuple[Keys, VariantTable]:
        """Every tile's key as it is now, sorted, read-only, with a table that decodes them."""
        ...

    def __contains__(self, tile_id: TileId) -> bool: ...

    def __len__(self) -> int: ...


class TileChangeListener(Protocol):
    """Who is told what is committed, by whichever process; a store that keeps a catalogue."""

    def apply_changes(self, changes: Iterable[TileChange]) -> None:
        """Follow changes, in the order of their commits; also called with none, to settle what is in doubt.

        Raises `StoreUnavailableError`; what was not settled is remembered for the next call.
        """
        ...

    def reload(self) -> None:
        """Read everything anew, because changes may have been missed. Raises `StoreUnavailableError`."""
        ...
