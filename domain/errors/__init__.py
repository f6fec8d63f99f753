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
├── EvictionRefusedError         the tile is pinned, or was made on board and nobody else has it
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

from .datasets import (
    DatasetConflictError as DatasetConflictError,
    DatasetError as DatasetError,
    DatasetNotStorableError as DatasetNotStorableError,
    DatasetSourceChangedError as DatasetSourceChangedError,
    DatasetUndatedError as DatasetUndatedError,
    UnknownDatasetError as UnknownDatasetError,
)
from .ground import (
    BaseSealError as BaseSealError,
    ConfigurationError as ConfigurationError,
    DescribedTilesError as DescribedTilesError,
    DescriptorModelError as DescriptorModelError,
    ImageryPlaceError as ImageryPlaceError,
    ImagerySourceError as ImagerySourceError,
    IndexBuildError as IndexBuildError,
    RuntimeNotAvailableError as RuntimeNotAvailableError,
)
from .room import (
    CacheBudgetExhaustedError as CacheBudgetExhaustedError,
    HeadroomTakenError as HeadroomTakenError,
    OnboardRoomExhaustedError as OnboardRoomExhaustedError,
)
from .root import (
    AerotileError as AerotileError,
    TileCacheError as TileCacheError,
)
from .tiles import (
    CaptureTimeConflictError as CaptureTimeConflictError,
    CaptureTimeInFutureError as CaptureTimeInFutureError,
    ContentHashMismatchError as ContentHashMismatchError,
    ContestedPlaceError as ContestedPlaceError,
    DuplicateTileError as DuplicateTileError,
    EvictionRefusedError as EvictionRefusedError,
    FreshnessRejectionError as FreshnessRejectionError,
    NotNewerError as NotNewerError,
    OtherImageryError as OtherImageryError,
    SealedTileError as SealedTileError,
    TileMetadataError as TileMetadataError,
    TileNotFoundError as TileNotFoundError,
    TileRecalledError as TileRecalledError,
)
from .unavailable import (
    BaseUnavailableError as BaseUnavailableError,
    CommitOutcomeUnknownError as CommitOutcomeUnknownError,
    ForkedProcessError as ForkedProcessError,
    IndexUnavailableError as IndexUnavailableError,
    NoMappingLeftError as NoMappingLeftError,
    NoTileFileError as NoTileFileError,
    ReadDeadlineError as ReadDeadlineError,
    RecallListError as RecallListError,
    StoreUnavailableError as StoreUnavailableError,
)
