"""A part that a flight asks does not answer, or can't be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .root import TileCacheError

if TYPE_CHECKING:  # `aerotile --help` imports the errors, and nothing beyond the standard library
    from ..values.tiles import TileId


class IndexUnavailableError(TileCacheError):
    """The descriptor index can't be opened, or can't answer this query."""


class BaseUnavailableError(TileCacheError):
    """The sealed base is not there, is damaged, or is not signed as the configuration demands."""


class RecallListError(TileCacheError):
    """A recall list is damaged, not signed as it must be, older than the one in force, or can't be stored."""


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


class CommitOutcomeUnknownError(StoreUnavailableError):
    """The connection was lost during COMMIT and the database can't be asked how it ended.

    The files stay: if the rows were committed they belong to them, if not the next open removes them.
    """


class NoMappingLeftError(StoreUnavailableError):
    """The system refuses to map another file; giving some mappings back may help."""


class NoTileFileError(StoreUnavailableError):
    """What stands in a tile file's place is no file: a folder, a symbolic link, a pipe, a device."""


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
