"""What is wrong with one tile, or forbids it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from .root import TileCacheError

if TYPE_CHECKING:  # `aerotile --help` imports the errors, and nothing beyond the standard library
    from ..values.sectors import FreshnessRule, SectorClassification
    from ..values.tiles import TileId


class TileNotFoundError(TileCacheError):
    """The store holds no such tile, or no such tiles."""

    def __init__(self, tile_id: TileId, *more: TileId, remedy: str | None = None) -> None:
        super().__init__(f"no tile {', '.join(map(str, (tile_id, *more)))} in the store", remedy=remedy)
        self.tile_id = tile_id


class TileMetadataError(TileCacheError):
    """The facts about a tile are impossible, contradict its bytes, or are already taken."""

    def __init__(self, message: str, *, tile_id: TileId | None = None, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.tile_id = tile_id


class DuplicateTileError(TileMetadataError):
    """The store already holds this tile; the first one stays as it is."""

    def __init__(self, tile_id: TileId) -> None:
        super().__init__(f"tile {tile_id} is already in the store", tile_id=tile_id)


class CaptureTimeConflictError(DuplicateTileError):
    """The store already holds this tile with the same bytes and another capture date: one date is wrong.

    `is_sealed`: the sealed base holds it.
    """

    def __init__(
        self,
        tile_id: TileId,
        stored_captured_at: datetime,
        captured_at: datetime,
        *,
        is_sealed: bool = False,
    ) -> None:
        where, remedy = (
            "in the store",
            (f"put the stored one right: aerotile amend --captured-at {captured_at.isoformat()} {tile_id}"),
        )
        if is_sealed:
            where, remedy = "in the sealed base", "seal a new generation from a store that has the right one"
        TileMetadataError.__init__(
            self,
            f"tile {tile_id} is already {where} with the same bytes, captured at "
            f"{stored_captured_at.isoformat()}; this one says {captured_at.isoformat()}",
            tile_id=tile_id,
            remedy=f"correct the date, or {remedy}",
        )
        self.stored_captured_at = stored_captured_at
        self.captured_at = captured_at
        self.is_sealed = is_sealed


class OtherImageryError(TileMetadataError):
    """The store already holds this tile with other bytes; they stay."""

    def __init__(self, tile_id: TileId) -> None:
        super().__init__(
            f"tile {tile_id} is already in the store with other content",
            tile_id=tile_id,
            remedy="where this imagery is newer: --replace puts it in the other's place",
        )


class NotNewerError(TileMetadataError):
    """The imagery of a replacement is older than the stored imagery, or of the same time; that one stays."""

    def __init__(self, tile_id: TileId, stored_captured_at: datetime, captured_at: datetime) -> None:
        super().__init__(
            f"tile {tile_id} is stored as captured at {stored_captured_at.isoformat()}; this one is of "
            f"{captured_at.isoformat()} and not newer",
            tile_id=tile_id,
            remedy=f"leave it out, or where it must be used: aerotile delete {tile_id}, then ingest it",
        )
        self.stored_captured_at = stored_captured_at
        self.captured_at = captured_at


class CaptureTimeInFutureError(TileMetadataError):
    """The capture time lies further ahead of the clock than clocks may differ."""

    def __init__(self, captured_at: datetime, now: datetime, *, tile_id: TileId | None = None) -> None:
        super().__init__(
            f"capture time {captured_at.isoformat()} is in the future (the clock says {now.isoformat()})",
            tile_id=tile_id,
            remedy="check the capture time and this machine's clock",
        )
        self.captured_at = captured_at
        self.now = now


class ContestedPlaceError(TileMetadataError):
    """Another dataset holds the tile, or tiles without a dataset do; the tile stays as it is.

    `held_by` is the name of that dataset, None for a tile without one.
    """

    def __init__(self, tile_id: TileId, dataset: str, held_by: str | None) -> None:
        holder = "a tile without a dataset" if held_by is None else f"a tile of the dataset {held_by}"
        super().__init__(
            f"the store holds {holder} as {tile_id}, so one of the dataset {dataset} has no place",
            tile_id=tile_id,
            remedy="--keep leaves the stored tiles, --replace puts newer ones in their places",
        )
        self.dataset = dataset
        self.held_by = held_by


class ContentHashMismatchError(TileCacheError):
    """The bytes do not have the SHA-256 or the length that their metadata promise.

    `what` differs: `length`, `SHA-256`, or `uploaded SHA-256` for the content that the provider stored.
    """

    def __init__(
        self, what: str, *, expected: str | int, actual: str | int, tile_id: TileId | None = None
    ) -> None:
        where = f" of tile {tile_id}" if tile_id is not None else ""
        super().__init__(f"{what}{where} is {actual}, expected {expected}")
        self.what = what
        self.expected = expected
        self.actual = actual
        self.tile_id = tile_id


class FreshnessRejectionError(TileCacheError):
    """The tile is older than its sector allows, and its sector refuses old tiles."""

    def __init__(
        self,
        tile_id: TileId,
        age_seconds: float,
        classification: SectorClassification,
        rule: FreshnessRule,
    ) -> None:
        age = timedelta(seconds=age_seconds)
        super().__init__(
            f"tile {tile_id} is {age.days} days old; {classification.value} allows {rule.max_age.days} days"
        )
        self.tile_id = tile_id
        self.age_seconds = age_seconds
        self.classification = classification
        self.rule = rule


class EvictionRefusedError(TileCacheError):
    """The tile may not be evicted: it is pinned, or was made on board and nobody else has it yet."""

    def __init__(self, tile_id: TileId) -> None:
        super().__init__(
            f"tile {tile_id} may not be evicted: it is pinned, or was made on board and is neither uploaded, "
            "rejected nor given up",
            remedy="lift its pin or upload it; delete_tile removes it as it is",
        )
        self.tile_id = tile_id


class SealedTileError(TileCacheError):
    """A tile of the sealed base can't be deleted, evicted, changed or pinned: a base is never changed."""

    def __init__(self, tile_id: TileId) -> None:
        super().__init__(
            f"tile {tile_id} belongs to the sealed base, which is never changed",
            remedy="seal a new generation without it, and switch to it",
        )
        self.tile_id = tile_id


class TileRecalledError(TileCacheError):
    """The recall list in force names the tile: it is neither read nor stored.

    `number` is the list's, `entry` says what of it names the tile.
    """

    def __init__(self, tile_id: TileId, number: int, entry: str, reason: str) -> None:
        super().__init__(
            f"tile {tile_id} is recalled by list {number} ({entry}): {reason}",
            remedy="delete it and bring other imagery of the place, or seal a new base without it",
        )
        self.tile_id = tile_id
        self.number = number
        self.entry = entry
        self.reason = reason
