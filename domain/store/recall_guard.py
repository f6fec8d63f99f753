"""The recall list in force, asked by reads, writes and searches of one process.

A list takes effect in three steps: it is in force here, so that every check from now on is by it; then each
listener drops what it holds of earlier checks; then the list is on the flight record. A read that began
before may still end with a tile; no read that begins after does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence

import attrs

from ..errors import RecallListError, TileRecalledError
from ..flight_events import FlightEvent
from ..make_events import recall_in_force_event, recall_refused_event, recalled_event
from ..policies.freshness import FreshnessDecision, FreshnessVerdict
from ..ports.recall_source import RecallInForce, RecallSource
from ..values.catalogue_entries import CatalogueEntry, CatalogueMatches
from ..values.listed_matches import ListedMatches
from ..values.recall_list import RecallList
from ..values.tiles import TileId, TileMetadata
from ..values.timestamps import microseconds_of

TAKE_OVER_S = 1.0
"""How long a call waits for another thread that takes a list over, which takes milliseconds."""
_log = logging.getLogger("aerotile.recall")


class NoRecalls:
    """A `RecallSource` that never has a list."""

    def mark(self) -> Hashable:
        return None

    def read(self) -> RecallInForce | None:
        return None


class RecallGuard:
    """Refuses what the recall list in force names. Safe for threads; a check takes no lock."""

    def __init__(self, source: RecallSource, record: Callable[[FlightEvent], None]) -> None:
        """Read the list in force; `record` takes events. Raises `RecallListError` for an untrusted list."""
        self._source = source
        self._record = record
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._mark = source.mark()
        self._refused: tuple[Hashable, str] | None = None
        self._in_force = source.read()
        if self._in_force is not None:
            self._record_in_force(self._in_force)

    @property
    def in_force(self) -> RecallList | None:
        """The list in force, as this process knows it; None: there is none."""
        return None if self._in_force is None else self._in_force.recalls

    @property
    def refused(self) -> str | None:
        """Why the list that lies in the place of the one in force is refused; None: it is in force."""
        return None if self._refused is None else self._refused[1]

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Have `listener` called now, and each time that another list is in force."""
        with self._lock:
            self._listeners.append(listener)
            listener()

    def look(self) -> None:
        """Take over a list that was put in force since; takes a microsecond when there is none. Never raises.

        While another list can't be trusted, the one before stays in force, which is recorded once.
        """
        if self._source.mark() == self._mark:
            return
        if not self._lock.acquire(timeout=TAKE_OVER_S):
            return  # in a forked child, whose parent's thread was taking a list over
        try:
            self._take_over()
        finally:
            self._lock.release()

    def _take_over(self) -> None:
        mark = self._source.mark()
        if mark == self._mark:
            return
        try:
            found = self._source.read()
        except (RecallListError, OSError) as error:
            self._refuse(mark, str(error))
            return
        before = self._in_force
        if before is not None and (found is None or found.recalls.number < before.recalls.number):
            now = "no list" if found is None else f"list {found.recalls.number}"
            self._refuse(mark, f"{now} lies in the place of list {before.recalls.number}")
            return
        self._in_force = found
        for listener in self._listeners:
            listener()
        self._mark, self._refused = mark, None
        if found is not None and found != before:
            self._record_in_force(found)

    def entry_for(self, tile_id: TileId, captured_us: int | None, content_sha256: str | None) -> str | None:
        """See `RecallList.entry_for`."""
        recalls = self.in_force
        return None if recalls is None else recalls.entry_for(tile_id, captured_us, content_sha256)

    def check(self, tile_id: TileId, captured_us: int | None, content_sha256: str | None) -> None:
        """Raise `TileRecalledError` for a stored tile that the list in force names, and record that."""
        recalls = self.in_force
        if recalls is not None:
            entry = recalls.entry_for(tile_id, captured_us, content_sha256)
            if entry is not None:
                self.record_held_back("read", [tile_id])
                raise TileRecalledError(tile_id, recalls.number, entry, recalls.reason)

    def check_new(self, tile: TileMetadata) -> None:
        """Raise `TileRecalledError` for a tile that is about to be written."""
        recalls = self.in_force
        entry = None if recalls is None else recalls.entry_for_tile(tile)
        if recalls is not None and entry is not None:
            raise TileRecalledError(tile.tile_id, recalls.number, entry, recalls.reason)

    def record_held_back(self, call: str, tile_ids: Sequence[TileId]) -> None:
        """Record that the list in force kept tiles from a `call`."""
        self._record(recalled_event(call, self.in_force, tile_ids))

    def judged(
        self, verdict: FreshnessVerdict, tile_id: TileId, captured_us: int, content_sha256: str | None
    ) -> FreshnessVerdict:
        """The verdict on a stored tile, which is rejected where the list in force names it."""
        recalls = self.in_force
        entry = None if recalls is None else recalls.entry_for(tile_id, captured_us, content_sha256)
        if recalls is None or entry is None:
            return verdict
        return attrs.evolve(
            verdict, decision=FreshnessDecision.REJECT, recalled=f"list {recalls.number}: {entry}"
        )

    def without_recalled(self, found: CatalogueMatches) -> CatalogueMatches:
        """The matches of a query that the list in force does not name."""
        recalls = self.in_force
        if recalls is None:
            return found
        left = [(position, entry) for position, entry in enumerate(found) if not _names(recalls, entry)]
        if len(left) == len(found):
            return found
        keys = found.keys[[position for position, _ in left]]
        return ListedMatches(keys, [entry for _, entry in left])

    def _record_in_force(self, found: RecallInForce) -> None:
        self._record(recall_in_force_event(found.recalls, found.identity, found.signers))
        _log.warning("recall list %d is in force: %s", found.recalls.number, found.recalls.reason)

    def _refuse(self, mark: Hashable, why: str) -> None:
        if (mark, why) != self._refused:
            self._refused = mark, why
            self._record(recall_refused_event(self.in_force, why))
            _log.error("a recall list is refused: %s", why)


def no_recalls() -> RecallGuard:
    """A guard that refuses nothing, for stores that are not held to recalls."""
    return RecallGuard(NoRecalls(), lambda event: None)


def _names(recalls: RecallList, entry: CatalogueEntry) -> bool:
    captured_us = microseconds_of(entry.captured_at)
    return recalls.entry_for(entry.tile_id, captured_us, entry.content_sha256) is not None
