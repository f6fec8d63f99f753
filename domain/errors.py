"""Every error that Aerotile raises on purpose.

TileCacheError                   anything that goes wrong with the cache in use
├── TileNotFoundError            the tile is not in the store
├── TileMetadataError            the facts about a tile are impossible or contradictory
│   ├── DuplicateTileError       the store already holds the tile
│   └── CaptureTimeInFutureError the capture time lies ahead of the clock
├── ContentHashMismatchError     the bytes are not the bytes that were promised
├── FreshnessRejectionError      the tile is too old for the sector that it lies in
├── CacheBudgetExhaustedError    no room, even after a full eviction sweep
│   └── HeadroomTakenError       another process took the reserved room before the commit
├── IndexUnavailableError        the descriptor index can't be opened or can't answer
├── BaseUnavailableError         the sealed base is not there, damaged, or not signed as it must be
├── SealedTileError              a tile of the sealed base can't be deleted, evicted or replaced
└── StoreUnavailableError        the database or the disk does not answer; nothing was lost
    ├── ReadDeadlineError        the disk did not give a tile in time; it may do so later
    ├── CommitOutcomeUnknownError  the line was lost during COMMIT; the write may have succeeded
    ├── NoMappingLeftError       the system refuses to map another file
    └── NoTileFileError          what stands in a tile file's place is no file
IndexBuildError                  a build tool failed on the ground; never raised in flight
BaseSealError                    the base can't be sealed or signed; never raised in flight
RuntimeNotAvailableError         a part was left out of this installation; raised at composition only
ConfigurationError               a setting is unknown, of the wrong type or out of range

Errors carry their facts as fields and keep their `__cause__`; no driver's exception passes a port.
Each message says what was wrong and where; `remedy`, when set, says what to do about it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `aerotile --help` imports the errors, and nothing beyond the standard library
    from .values.sectors import FreshnessRule, SectorClassification
    from .values.tiles import TileId


class AerotileError(Exception):
    """The root: lets a person's interface tell our errors from bugs. Not a family to catch in flight."""

    remedy: str | None

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


class TileCacheError(AerotileError):
    """Anything that goes wrong with the cache in use."""


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


class CacheBudgetExhaustedError(TileCacheError):
    """No room for the tile, even after everything that may be evicted was evicted.

    `needed_bytes` of the write, `budget_bytes` in all, `total_bytes` of the committed tiles.
    """

    def __init__(self, needed_bytes: int, budget_bytes: int, total_bytes: int) -> None:
        if needed_bytes > budget_bytes:
            reason = f"the whole budget is {budget_bytes} bytes"
        else:
            reason = f"{total_bytes} of {budget_bytes} bytes are in use and nothing more may be evicted"
        super().__init__(
            f"no room for {needed_bytes} bytes: {reason}",
            remedy="raise budget.max_bytes, upload onboard tiles, or remove pins",
        )
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes
        self.total_bytes = total_bytes


class HeadroomTakenError(CacheBudgetExhaustedError):
    """Another process took the reserved room before the commit; evicting again may help."""


class IndexUnavailableError(TileCacheError):
    """The descriptor index can't be opened, or can't answer this query."""


class BaseUnavailableError(TileCacheError):
    """The sealed base is not there, is damaged, or is not signed as the configuration demands."""


class SealedTileError(TileCacheError):
    """A tile of the sealed base can't be deleted or evicted: a base is never changed."""

    def __init__(self, tile_id: TileId) -> None:
        super().__init__(
            f"tile {tile_id} belongs to the sealed base, which is never changed",
            remedy="seal a new generation without it, and switch to it",
        )
        self.tile_id = tile_id


class StoreUnavailableError(TileCacheError):
    """The database or the disk does not answer. What was committed is safe; this call did nothing."""


class ReadDeadlineError(StoreUnavailableError):
    """The disk did not give a tile in time. Tiles in memory are read on; the disk may answer again later.

    `stalled`: this read was refused because earlier reads still wait for the disk.
    """

    def __init__(self, tile_id: TileId, deadline_s: float, *, stalled: bool = False) -> None:
        what = "earlier reads still wait for the disk" if stalled else "the disk did not answer"
        super().__init__(
            f"cannot read tile {tile_id} within {deadline_s:g} s: {what}",
            remedy="read it again later; if that goes on, check the disk (kernel log, SMART)",
        )
        self.tile_id = tile_id
        self.deadline_s = deadline_s
        self.stalled = stalled


class IndexBuildError(AerotileError):
    """Building the descriptor index failed. A ground tool's failure, outside the flight family on purpose."""


class BaseSealError(AerotileError):
    """Sealing or signing a base failed. A ground tool's failure, outside the flight family on purpose."""


class RuntimeNotAvailableError(AerotileError):
    """A part that the configuration asks for is not in this installation. Raised at composition only."""


class ConfigurationError(AerotileError):
    """A setting is unknown, of the wrong type, or out of range."""


class CommitOutcomeUnknownError(StoreUnavailableError):
    """The connection was lost during COMMIT and the database can't be asked how it ended.

    The files stay: if the rows were committed they belong to them, if not the next open removes them.
    """


class NoMappingLeftError(StoreUnavailableError):
    """The system refuses to map another file; giving some mappings back may help."""


class NoTileFileError(StoreUnavailableError):
    """What stands in a tile file's place is no file: a folder, a symbolic link, a pipe, a device."""
