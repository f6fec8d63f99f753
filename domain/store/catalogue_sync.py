"""What other processes do to the rows, and how the catalogue of this one follows.

Others' changes arrive as notices, in the order of their commits and a moment after them. Our own are put into
the catalogue by whoever makes them. A notice says what happened, not how things are: unless the catalogue
shows it already, the rows are asked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

from ..errors import CommitOutcomeUnknownError, TileMetadataError
from ..ports.tile_catalogue import TileCatalogue
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from ..values.catalogue_entries import columns_of
from ..values.tile_changes import ChangeKind, TileChange
from ..values.tiles import TileId, TileMetadataPersistent

ASKED_AT_ONCE = 1_000
"""Tiles in one question to the rows; writers wait while the answer is put into the catalogue."""


_log = logging.getLogger("aerotile.store")


class CatalogueSync:
    """Keeps a catalogue true to the rows while this process and others change them; from any thread.

    A tile is left alone while this process is changing it. What was noticed about it meanwhile is looked at
    when that has ended, and an answer that was asked for before is thrown away: neither can undo the other.
    """

    def __init__(
        self,
        rows: TileRows,
        files: TileFiles,
        catalogue: TileCatalogue,
        *,
        forget: Callable[[TileId], object],
        when_in_doubt: Callable[[], None],
    ) -> None:
        """`forget` takes a tile out of the catalogue, with all that is kept of it.

        `when_in_doubt` must return at once and see to it that `apply` is called soon, on another thread.
        """
        self._rows = rows
        self._files = files
        self._catalogue = catalogue
        self._forget = forget
        self._when_in_doubt = when_in_doubt
        self._asking = threading.Lock()
        """Held from a question until its answer is in the catalogue; taken before `_lock`."""
        self._lock = threading.Lock()
        self._under_way: dict[TileId, int] = {}
        self._noticed: dict[TileId, set[ChangeKind]] = {}
        """What was heard about tiles that are under way."""
        self._doubtful: set[TileId] = set()
        self._asked: set[TileId] = set()

    @contextmanager
    def changing(self, tile_ids: Collection[TileId]) -> Iterator[None]:
        """Every change that this process makes to rows is made in here, its catalogue entry included."""
        self._begin(tile_ids)
        in_doubt = False
        try:
            yield
        except CommitOutcomeUnknownError:
            in_doubt = True
            raise
        finally:
            self._end(tile_ids, in_doubt=in_doubt)

    def _begin(self, tile_ids: Collection[TileId]) -> None:
        with self._lock:
            for tile_id in tile_ids:
                self._under_way[tile_id] = self._under_way.get(tile_id, 0) + 1
                for questions in (self._doubtful, self._asked):
                    if tile_id in questions:
                        questions.discard(tile_id)
                        self._notice(tile_id, ChangeKind.CHANGED)

    def _end(self, tile_ids: Collection[TileId], *, in_doubt: bool) -> None:
        with self._lock:
            before = len(self._doubtful)
            for tile_id in tile_ids:
                if in_doubt:
                    self._notice(tile_id, ChangeKind.CHANGED)
                self._under_way[tile_id] -= 1
                if not self._under_way[tile_id]:
                    del self._under_way[tile_id]
                    noticed = self._noticed.pop(tile_id, ())
                    if any(self._is_news(kind, tile_id) for kind in noticed):
                        self._doubtful.add(tile_id)
            more = len(self._doubtful) > before
        if more:
            self._when_in_doubt()

    def apply(self, changes: Iterable[TileChange]) -> None:
        """Follow changes that were noticed, and settle all that is in doubt.

        Raises `StoreUnavailableError`; what could not be settled is remembered for the next call.
        """
        with self._lock:
            for change in changes:
                tile_id = change.tile_id
                if tile_id in self._under_way:
                    self._notice(tile_id, change.kind)
                elif tile_id in self._asked or self._is_news(change.kind, tile_id):
                    self._doubtful.add(tile_id)
        self._settle()

    def refresh(self, tile_id: TileId) -> None:
        """Ask the rows about one tile now. Raises `StoreUnavailableError`."""
        self.apply([TileChange(ChangeKind.CHANGED, tile_id)])

    def forget_missing(self, tile_id: TileId) -> None:
        """Forget a tile whose file a reader did not find, unless it is there by now."""
        with self._lock:
            if tile_id not in self._under_way and not self._files.exists(tile_id):
                self._forget(tile_id)

    def reload(self) -> None:
        """Load the whole catalogue anew, because notices may have been missed; readers and writers go on.

        Notices must be heard again before this is called. Raises `StoreUnavailableError`; then the catalogue
        is as before.
        """
        with self._asking, self._lock:
            mark = self._catalogue.mark()
            # Where a commit comes before the reading of the rows and its entry behind it, the entry is older.
            for tile_id in self._under_way:
                self._notice(tile_id, ChangeKind.CHANGED)
        self._catalogue.load(*columns_of(self._rows.committed()), since=mark)
        self.apply(TileChange(ChangeKind.CHANGED, tile_id) for tile_id in self._rows.marked_missing())

    def _notice(self, tile_id: TileId, kind: ChangeKind) -> None:
        self._noticed.setdefault(tile_id, set()).add(kind)

    def _is_news(self, kind: ChangeKind, tile_id: TileId) -> bool:
        """Whether the catalogue may differ from the row after such a change.

        A tile that was removed and added again is news by its removal.
        """
        if kind is ChangeKind.CHANGED:
            return True
        return (tile_id in self._catalogue) is (kind is ChangeKind.REMOVED)

    def _settle(self) -> None:
        at_once = ASKED_AT_ONCE
        with self._asking:
            while asked := self._take_doubtful(at_once):
                try:
                    found = self._rows.committed_among(asked)
                    # A row whose file is gone is left out, as it is when the store is opened.
                    found = {tile_id: row for tile_id, row in found.items() if self._files.exists(tile_id)}
                except TileMetadataError as error:
                    if len(asked) > 1:  # one impossible row must not hide the others
                        self._doubt_again()
                        at_once = 1
                        continue
                    _log.error("left out of the catalogue: %s", error)
                    found = {}
                except BaseException:
                    self._doubt_again()
                    raise
                with self._lock:
                    for tile_id in self._asked:
                        self._set(tile_id, found.get(tile_id))
                    self._asked.clear()

    def _take_doubtful(self, at_most: int) -> list[TileId]:
        with self._lock:
            while self._doubtful and len(self._asked) < at_most:
                self._asked.add(self._doubtful.pop())
            return list(self._asked)

    def _doubt_again(self) -> None:
        with self._lock:
            self._doubtful |= self._asked
            self._asked.clear()

    def _set(self, tile_id: TileId, row: TileMetadataPersistent | None) -> None:
        known = self._catalogue.get(tile_id)
        if row is None or (known is not None and known.content_sha256 != row.content_sha256):
            self._forget(tile_id)
        if row is not None:
            self._catalogue.add(row)
