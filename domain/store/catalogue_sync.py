"""Keeping the catalogue of this process true to the rows, whichever process changes them.

Changes by other processes arrive as notices, in the order of their commits and a moment after them. Changes
by this process are entered by the use case that makes them. A notice names an event, not the present state:
unless the catalogue agrees with it already, the row is read.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from types import TracebackType

from ..errors import CommitOutcomeUnknownError, StoreUnavailableError, TileMetadataError
from ..ports.mapping_cache import MappingCache
from ..ports.tile_catalogue import TileCatalogue
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.catalogue_entries import columns_of
from ..values.tile_changes import ChangeKind, TileChange
from ..values.tiles import TileId, TileMetadataPersistent
from ..values.timestamps import microseconds_of
from .flight_limit import FlightLimit, refuse_unnamable
from .settle_replacement import settle_replacement

QUERY_TILES = 1_000
"""Tiles per query to the rows; writers wait while the answer is entered into the catalogue."""


_log = logging.getLogger("aerotile.store")


class CatalogueSync:
    """The catalogue and the cached mappings of one process, kept true to the rows. Safe for threads.

    A tile is left alone while this process changes it. Its notices wait until the change has ended, and the
    answer to a query that was sent before the change is dropped: neither can undo the other.
    """

    def __init__(
        self,
        rows: TileRows,
        files: TileFiles,
        catalogue: TileCatalogue,
        mapping_cache: MappingCache,
        *,
        when_unsettled: Callable[[], None] = lambda: None,
    ) -> None:
        """`catalogue` and `mapping_cache` belong to this object from now on.

        `when_unsettled` is called when the row of a tile must be read again. It must return without waiting,
        and cause a call of `apply` soon on another thread.
        """
        self._rows = rows
        self._files = files
        self.catalogue = catalogue
        self.mapping_cache = mapping_cache
        self.flight_limit = FlightLimit(catalogue)
        self._when_unsettled = when_unsettled
        self._querying = threading.Lock()
        """Held from a query until its answer is in the catalogue; taken before `_lock`."""
        self._lock = threading.Lock()
        self._changes: dict[weakref.ref[Change], Collection[TileId]] = {}
        """The changes that this process is making, with their tiles. A change that was collected before its
        end was interrupted: it is ended by the next call."""
        self._notices: dict[TileId, set[ChangeKind]] = {}
        """Notices about tiles that this process is changing."""
        self._unsettled: set[TileId] = set()
        """Tiles whose rows must be read."""
        self._queried: set[TileId] = set()
        """Tiles of the query under way."""
        self._placing: set[tuple[TileId, str]] = set()
        """Tiles and digests of replacements that this process committed and has not entered yet."""
        self._settling_own = threading.Lock()
        """Held from a settling until its row is entered: the later of two is entered last."""

    def changing(self, tile_ids: Collection[TileId]) -> Change:
        """The context of a change that this process makes to rows, up to its catalogue entry."""
        return Change(self, tile_ids)

    def begin_change(self, change: Change, tile_ids: Collection[TileId]) -> None:
        """What a `Change` does first."""
        with self._lock:
            self._changes[weakref.ref(change)] = tile_ids
            for queue in (self._unsettled, self._queried):
                for tile_id in queue.intersection(tile_ids) if queue else ():
                    queue.discard(tile_id)
                    self._note(tile_id, ChangeKind.CHANGED)
            before = len(self._unsettled)
            self._end_interrupted()
            more = len(self._unsettled) > before
        if more:
            self._when_unsettled()

    def end_change(self, change: Change, *, outcome_unknown: bool) -> None:
        """What a `Change` does last."""
        with self._lock:
            before = len(self._unsettled)
            self._end(weakref.ref(change), outcome_unknown=outcome_unknown)
            more = len(self._unsettled) > before
        if more:
            self._when_unsettled()

    def _end_interrupted(self) -> None:
        for change in [each for each in self._changes if each() is None]:
            self._end(change, outcome_unknown=True)

    def _end(self, change: weakref.ref[Change], *, outcome_unknown: bool) -> None:
        """End a change. Where an interrupt stops this, it is done again."""
        tile_ids = self._changes[change]
        others = [those for other, those in self._changes.items() if other is not change]
        for tile_id in tile_ids:
            if outcome_unknown:
                self._note(tile_id, ChangeKind.CHANGED)
            if not any(tile_id in those for those in others):
                self.flight_limit.release(tile_id)
                notices = self._notices.pop(tile_id, None)
                if notices and any(self._is_news(kind, tile_id) for kind in notices):
                    self._unsettled.add(tile_id)
        del self._changes[change]

    def _is_changing(self, tile_id: TileId) -> bool:
        return any(tile_id in tile_ids for tile_ids in self._changes.values())

    def settle_own(self, stored: TileMetadataPersistent) -> TileMetadataPersistent | None:
        """Settle a replacement that this process committed, enter the tile's row as of then, and return it.

        Readers may find the old file or the new one until then. Raises `StoreUnavailableError`.
        """
        placing = stored.tile_id, stored.content_sha256
        try:
            self._placing.add(placing)
            with self._settling_own:
                row = settle_replacement(self._rows, self._files, stored.tile_id)
                self._set(stored.tile_id, row)
                return row
        finally:
            self._placing.discard(placing)

    def accepts(self, tile_id: TileId, content_sha256: str) -> bool:
        """Whether bytes that are not those of the catalogue's entry are the tile's committed ones after all.

        That of a replacement is entered a moment after its file can be read. The row is read, unless this
        process makes the replacement itself; no lock of the tile is waited for.
        """
        if (tile_id, content_sha256) in self._placing:
            return True
        row = None
        with suppress(StoreUnavailableError, TileMetadataError):  # then the catalogue decides
            row = self._rows.get(tile_id)
        return row is not None and row.content_sha256 == content_sha256

    def add(self, row: TileMetadataPersistent) -> None:
        """Enter a committed tile, and have it opened anew when its content or its capture time is new.

        A mapping of other content is of a tile that was replaced or deleted. By its new capture time a tile
        may be recalled, which is checked when it is opened. A tile of one flight too many is left out: the
        row is committed by another process.
        """
        captured_us = self.catalogue.captured_us(row.tile_id)
        try:
            is_new = self.catalogue.add(row)
        except ValueError:
            try:
                refuse_unnamable(self.catalogue, row.tile_id)
            except TileMetadataError as error:
                _log.error("left out of the catalogue: %s", error.explained)
                return
            raise
        if is_new or captured_us != microseconds_of(row.captured_at):
            self.mapping_cache.invalidate(row.tile_id)

    def add_changed(self, row: TileMetadataPersistent) -> None:
        """Enter a tile of which this process changed facts; another one may have replaced it just before."""
        known = self.catalogue.get(row.tile_id)
        is_other = known is not None and known.content_sha256 != row.content_sha256
        if not (is_other and self._settle_replacements([row.tile_id])):  # else its notice has it tried again
            self.add(row)

    def remove(self, tile_id: TileId) -> None:
        """Take out a tile that is not committed any more, or with other content."""
        self.catalogue.remove(tile_id)
        self.mapping_cache.invalidate(tile_id)

    def apply(self, changes: Iterable[TileChange]) -> None:
        """Follow changes by other processes, and settle every tile whose row must be read.

        Raises `StoreUnavailableError`; tiles that could not be settled wait for the next call.
        """
        with self._lock:
            self._end_interrupted()
            for change in changes:
                tile_id = change.tile_id
                if self._is_changing(tile_id):
                    self._note(tile_id, change.kind)
                elif tile_id in self._queried or self._is_news(change.kind, tile_id):
                    self._unsettled.add(tile_id)
        self._settle()

    def refresh(self, tile_id: TileId) -> None:
        """Read the row of one tile now. Raises `StoreUnavailableError`."""
        self.apply([TileChange(ChangeKind.CHANGED, tile_id)])

    def forget_missing(self, tile_id: TileId) -> None:
        """Take out a tile whose file a reader did not find, unless the file exists by now."""
        with self._lock:
            if not self._is_changing(tile_id) and not self._files.exists(tile_id):
                self.remove(tile_id)

    def reload(self) -> None:
        """Load the whole catalogue again after notices may have been missed; reads and writes go on.

        Notices must arrive again before this is called. Raises `StoreUnavailableError`; then the catalogue
        is unchanged.
        """
        with self._querying, self._lock:
            mark = self.catalogue.mark()
            # A change may commit before the rows are read and enter its older state after that.
            for tile_ids in self._changes.values():
                for tile_id in tile_ids:
                    self._note(tile_id, ChangeKind.CHANGED)
        self.catalogue.load(*columns_of(self._rows.committed()), since=mark)
        stuck = self._settle_replacements(self._rows.unsettled())
        for tile_id in stuck:
            self.remove(tile_id)  # its file may hold the older imagery
        news = [*self._rows.marked_missing(), *stuck]
        self.apply(TileChange(ChangeKind.CHANGED, tile_id) for tile_id in news)
        self.mapping_cache.invalidate_all()

    def _note(self, tile_id: TileId, kind: ChangeKind) -> None:
        self._notices.setdefault(tile_id, set()).add(kind)

    def _is_news(self, kind: ChangeKind, tile_id: TileId) -> bool:
        """Whether the catalogue may differ from the row after such a change.

        A tile that was removed and added again is news by its removal.
        """
        if kind is ChangeKind.CHANGED:
            return True
        return (tile_id in self.catalogue) is (kind is ChangeKind.REMOVED)

    def _settle(self) -> None:
        limit = QUERY_TILES
        stuck_tiles: set[TileId] = set()
        with self._querying:
            while queried := self._next_query(limit):
                stuck: set[TileId] = set()
                try:
                    found = self._rows.committed_among(queried)
                    known = [tile_id for tile_id in found if tile_id in self.catalogue]
                    stuck = self._settle_replacements(self._rows.unsettled(known) if known else ())
                    # A row whose file is missing is left out, as it is when the store is opened.
                    found = {tile_id: row for tile_id, row in found.items() if self._files.exists(tile_id)}
                except TileMetadataError as error:
                    if len(queried) > 1:  # one impossible row must not hide the others
                        self._requeue()
                        limit = 1
                        continue
                    _log.error("left out of the catalogue: %s", error.explained)
                    found = {}
                except BaseException:
                    self._requeue()
                    raise
                with self._lock:
                    for tile_id in self._queried - stuck:
                        self._set(tile_id, found.get(tile_id))
                    self._queried.clear()
                    stuck_tiles |= stuck
            with self._lock:
                self._unsettled |= stuck_tiles

    def _settle_replacements(self, tile_ids: Iterable[TileId]) -> set[TileId]:
        """Settle replacements before their rows are entered; returns the tiles whose files can't be placed.

        Such a tile stays as the catalogue has it, which is what its file still holds, until the next call.
        """
        stuck = set()
        for tile_id in tile_ids:
            try:
                settle_replacement(self._rows, self._files, tile_id)
            except StoreUnavailableError as error:
                _log.warning("the newer imagery of tile %s waits for its place: %s", tile_id, error.explained)
                stuck.add(tile_id)
        return stuck

    def _next_query(self, limit: int) -> list[TileId]:
        with self._lock:
            while self._unsettled and len(self._queried) < limit:
                self._queried.add(self._unsettled.pop())
            return list(self._queried)

    def _requeue(self) -> None:
        with self._lock:
            self._unsettled |= self._queried
            self._queried.clear()

    def _set(self, tile_id: TileId, row: TileMetadataPersistent | None) -> None:
        if row is None:
            self.remove(tile_id)
        else:
            self.add(row)


class Change:
    """A change of rows under way; see `CatalogueSync.changing`."""

    __slots__ = ("__weakref__", "_sync", "_tile_ids")

    def __init__(self, sync: CatalogueSync, tile_ids: Collection[TileId]) -> None:
        self._sync = sync
        self._tile_ids = frozenset(tile_ids)

    def __enter__(self) -> None:
        self._sync.begin_change(self, self._tile_ids)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sync.end_change(self, outcome_unknown=isinstance(error, CommitOutcomeUnknownError))
