"""Every error that Aerotile raises on purpose.

TileCacheError                   anything that goes wrong with the cache in use
├── TileNotFoundError            the tile is not in the store
├── TileMetadataError            the facts about a tile are impossible or contradictory
│   ├── DuplicateTileError       the store already holds the tile
│   │   └── CaptureTimeConflictError  it holds the same bytes under another capture date
│   ├── OtherImageryError        an intake meets a tile that the store holds with other bytes
│   ├── NotNewerError            the imagery of a replacement is not newer than the stored imagery
│   ├── CaptureTimeInFutureError the capture time lies ahead of the clock
│   └── ContestedPlaceError      another dataset holds the tile
├── DatasetError                 a dataset can't be used as it is asked for
│   ├── UnknownDatasetError      no dataset of that name is defined
│   ├── DatasetConflictError     the name stands for other facts, or for another source
│   ├── DatasetSourceChangedError  the source at hand has another digest than the dataset
│   ├── DatasetUndatedError      neither the dataset nor the caller has a capture date
│   └── DatasetNotStorableError  its licence forbids to store it offline
├── ContentHashMismatchError     the bytes are not the bytes that were promised
├── FreshnessRejectionError      the tile is too old for the sector that it lies in
├── CacheBudgetExhaustedError    no room, and what may be evicted would not make it
│   ├── OnboardRoomExhaustedError  no room for an onboard tile, which evicts no tile of the map
│   └── HeadroomTakenError       another process took the reserved room before the commit
├── IndexUnavailableError        the descriptor index can't be opened or can't answer
├── BaseUnavailableError         the sealed base is not there, damaged, or not signed as it must be
├── RecallListError              a recall list is damaged, not signed as it must be, or an older one
├── TileRecalledError            the recall list in force names the tile
├── SealedTileError              a tile of the sealed base can't be deleted, evicted, changed or pinned
└── StoreUnavailableError        the database or the disk does not answer; nothing was lost
    ├── ReadDeadlineError        the disk did not give a tile in time; it may do so later
    ├── CommitOutcomeUnknownError  the line was lost during COMMIT; the write may have succeeded
    ├── NoMappingLeftError       the system refuses to map another file
    ├── NoTileFileError          what stands in a tile file's place is no file
    └── ForkedProcessError       the store was opened before a fork, by another process
IndexBuildError                  a build tool failed on the ground; never raised in flight
BaseSealError                    the base can't be sealed or signed; never raised in flight
DescriptorModelError             the network that describes pictures can't be used, or fails
DescribedTilesError              tiles can't be described into a file; never raised in flight
ImagerySourceError               imagery can't be brought in from its source; never raised in flight
ImageryPlaceError                one place of a source is no imagery; never raised in flight
RuntimeNotAvailableError         a part was left out of this installation; raised at composition only
ConfigurationError               a setting is unknown, of the wrong type or out of range

Errors carry their facts as fields and keep their `__cause__`; no driver's exception passes a port.
Each message says what was wrong and where; `remedy`, when set, says what to do about it. A log shows both:
`explained` on one line, and from CPython 3.11 on a traceback too.
"""

from __future__ import annotations

import sys
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
        if remedy is not None and sys.version_info >= (3, 11):
            self.add_note(f"remedy: {remedy}")  # so a logged traceback shows it

    @property
    def explained(self) -> str:
        """The message and the remedy on one line, for a log: `what was wrong — what to do`."""
        return str(self) if self.remedy is None else f"{self} — {self.remedy}"


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


class DatasetError(TileCacheError):
    """A dataset can't be used as it is asked for."""


class UnknownDatasetError(DatasetError):
    """No dataset of that name is defined."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no dataset {name!r} is defined",
            remedy=f"define it with `aerotile datasets define {name}`; `aerotile datasets list` shows all",
        )
        self.name = name


class DatasetConflictError(DatasetError):
    """A dataset's name stands for other facts, or its source has changed; nothing was changed.

    `differences` says each difference: what is defined, and what was given.
    """

    def __init__(self, name: str, differences: tuple[str, ...]) -> None:
        super().__init__(
            f"the dataset {name} is defined otherwise: {'; '.join(differences)}",
            remedy="a changed source is another dataset: define it under another name; `aerotile datasets "
            "amend` corrects licence, attribution, permission and capture date",
        )
        self.name = name
        self.differences = differences


class DatasetSourceChangedError(DatasetError):
    """The source at hand has another digest than the dataset's; nothing was stored."""

    def __init__(self, name: str, defined_sha256: str, found_sha256: str) -> None:
        super().__init__(
            f"the source has changed since the dataset {name} was defined: its SHA-256 is {found_sha256}, "
            f"not {defined_sha256}",
            remedy="define what lies there now as another dataset: aerotile datasets define",
        )
        self.name = name
        self.defined_sha256 = defined_sha256
        self.found_sha256 = found_sha256


class DatasetUndatedError(DatasetError):
    """Neither the dataset nor the caller has a capture date for the tiles; nothing was stored."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the dataset {name} has no capture date of its own",
            remedy="say when its ground looked like that, for all tiles or for each",
        )
        self.name = name


class DatasetNotStorableError(DatasetError):
    """The licence of a dataset forbids to store its tiles offline; nothing was stored."""

    def __init__(self, name: str, licence: str) -> None:
        super().__init__(
            f"the dataset {name} may not be stored offline by its licence, {licence}",
            remedy="take another dataset; if the licence allows it now, `aerotile datasets amend "
            f"{name} --may-be-stored-offline yes`",
        )
        self.name = name
        self.licence = licence


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
    """No room for the tile: all tiles that may be evicted together would not make it.

    Bytes of disk, blocks and inodes included: `needed_bytes` of the write, `budget_bytes` in all,
    `total_bytes` of the committed tiles, and `evictable_bytes` of those that may be evicted. They are counted
    before the first is evicted, so that a sweep which can't succeed evicts none; `evicted_tiles` is above 0
    only where a candidate was pinned or deleted during the sweep.
    """

    _of, _limit = "", "budget"
    _remedy = (
        "raise budget.max_bytes, upload onboard tiles (aerotile upload), or lift pins (aerotile pin --lift)"
    )

    def __init__(
        self,
        needed_bytes: int,
        budget_bytes: int,
        total_bytes: int,
        evictable_bytes: int = 0,
        evicted_tiles: int = 0,
    ) -> None:
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes
        self.total_bytes = total_bytes
        self.evictable_bytes = evictable_bytes
        self.evicted_tiles = evicted_tiles
        too_large = f"the whole {self._limit} is {budget_bytes} bytes"
        reason = too_large if needed_bytes > budget_bytes else self._reason()
        super().__init__(f"no room for {needed_bytes} bytes{self._of}: {reason}", remedy=self._remedy)

    def _reason(self) -> str:
        if self.total_bytes > self.budget_bytes:
            over = self.total_bytes - self.budget_bytes
            return (
                f"the store takes {over} bytes more than its budget of {self.budget_bytes}; "
                "no tile is evicted for that"
            )
        return (
            f"{self.total_bytes} of {self.budget_bytes} bytes are in use and {self.evictable_bytes} of them "
            f"may be evicted; {self.evicted_tiles or 'no'} tiles were evicted for it"
        )


class OnboardRoomExhaustedError(CacheBudgetExhaustedError):
    """No room for an onboard tile, which may evict only onboard tiles.

    `budget_bytes`, `total_bytes` and `evictable_bytes` are those of the onboard share
    (`budget.onboard_share`), or with `budget_is_full` those of the whole budget.
    """

    _of, _limit = " of onboard tiles", "onboard share"
    _remedy = "upload onboard tiles (aerotile upload), or raise budget.onboard_share"

    def __init__(
        self,
        needed_bytes: int,
        budget_bytes: int,
        total_bytes: int,
        evictable_bytes: int = 0,
        evicted_tiles: int = 0,
        *,
        budget_is_full: bool = False,
    ) -> None:
        self.budget_is_full = budget_is_full
        if budget_is_full:
            self._limit = CacheBudgetExhaustedError._limit
            self._remedy = "upload onboard tiles (aerotile upload), raise budget.max_bytes, or delete tiles"
        super().__init__(needed_bytes, budget_bytes, total_bytes, evictable_bytes, evicted_tiles)

    def _reason(self) -> str:
        if self.budget_is_full and self.total_bytes > self.budget_bytes:
            return super()._reason()
        share = "" if self.budget_is_full else " of their share"
        return (
            f"{self.total_bytes} of {self.budget_bytes} bytes{share} are in use and {self.evictable_bytes} "
            "bytes of onboard tiles may be evicted, the map never is; "
            f"{self.evicted_tiles or 'no'} tiles were evicted for it"
        )


class HeadroomTakenError(CacheBudgetExhaustedError):
    """Another process took the reserved room before the commit; reserving again may help."""

    _remedy = "write it again; if that goes on, raise budget.max_bytes"

    def _reason(self) -> str:
        return f"another process took it; {self.total_bytes} of {self.budget_bytes} bytes are in use"


class IndexUnavailableError(TileCacheError):
    """The descriptor index can't be opened, or can't answer this query."""


class BaseUnavailableError(TileCacheError):
    """The sealed base is not there, is damaged, or is not signed as the configuration demands."""


class SealedTileError(TileCacheError):
    """A tile of the sealed base can't be deleted, evicted, changed or pinned: a base is never changed."""

    def __init__(self, tile_id: TileId) -> None:
        super().__init__(
            f"tile {tile_id} belongs to the sealed base, which is never changed",
            remedy="seal a new generation without it, and switch to it",
        )
        self.tile_id = tile_id


class RecallListError(TileCacheError):
    """A recall list is damaged, not signed as it must be, older than the one in force, or can't be stored."""


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


class ForkedProcessError(StoreUnavailableError):
    """A child that was forked since the store was opened called it; build the store again in the child.

    Trying again never helps. `opened_by` is the process id of the process that opened the store.
    """

    def __init__(self, opened_by: int) -> None:
        super().__init__(
            f"opened before a fork, by process {opened_by}: build it again",
            remedy="call the factory again in this process, for instance build_tile_store(config)",
        )
        self.opened_by = opened_by


class IndexBuildError(AerotileError):
    """Building the descriptor index failed. A ground tool's failure, outside the flight family on purpose."""


class BaseSealError(AerotileError):
    """Sealing or signing a base failed. A ground tool's failure, outside the flight family on purpose."""


class DescriptorModelError(AerotileError):
    """The network that describes pictures can't be used, or fails at a picture."""


class DescribedTilesError(AerotileError):
    """Tiles can't be described into a file. A ground tool's failure; blocks that are described stay."""


class ImagerySourceError(AerotileError):
    """A source of imagery can't be read, or is not what it is named as. A ground tool's failure.

    What was stored before stays.
    """


class ImageryPlaceError(AerotileError):
    """What a source of imagery holds at one place is no imagery. A ground tool's failure.

    `place` is (zoom, x, y) with y from the north; `kind` says in a few words what is wrong, so that places
    with the same fault are counted together: `an HTML page`, `a damaged PNG`.
    """

    def __init__(
        self, message: str, *, place: tuple[int, int, int], kind: str, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.place = place
        self.kind = kind


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
