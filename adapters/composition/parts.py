"""What all parts of a runtime share: configuration, clock, flight record, and how parts are closed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ...domain.errors import AerotileError
from ...domain.lookups.recorded_index import RecordsLater
from ...domain.store.recall_guard import RecallGuard
from ..background import BackgroundTask
from ..clocks import SystemClock
from ..config.settings import AerotileConfig
from ..own_process import OwnProcess

if TYPE_CHECKING:
    from ..recall_lists.lists import RecallLists
    from ..signatures import Trust


T = TypeVar("T")
RECALL_INTERVAL_S = 1.0
"""How soon a process that searches nothing takes a new recall list over."""


class Parts:
    """Parts that one configuration composes, each built when it is first asked for."""

    def __init__(self, config: AerotileConfig) -> None:
        self.config = config.absolute()
        self.clock = SystemClock()
        self.process = OwnProcess()
        self._lock = threading.RLock()
        self._closers: list[Callable[[], None]] = []

    def close(self) -> None:
        """Close the parts, the last built first, also behind one that fails; its error is raised at the end.

        A second call closes the parts that a signal's handler kept from it by raising, and else does nothing.
        Does nothing in a child forked since.
        """
        if not self.process.is_current:
            return
        with self._lock, ExitStack() as closing:
            for close in self._closers:
                closing.callback(self._close_part, close)

    def _close_part(self, close: Callable[[], None]) -> None:
        try:
            close()
        except TimeoutError:  # of a signal's handler
            raise
        except (AerotileError, OSError):  # the part's own: it would fail again
            self._closers.remove(close)
            raise
        self._closers.remove(close)

    def part(self, name: str) -> Any:
        """A part by its attribute name, built by one thread only."""
        with self._lock:
            return getattr(self, name)

    def _closing(self, part: T, close: Callable[[], None]) -> T:
        self._closers.append(close)
        return part

    @cached_property
    def recorder(self) -> RecordsLater:
        """The flight record."""
        from ..recorder.writer import JsonLinesRecorder

        settings = self.config.record
        recorder = JsonLinesRecorder(
            self.config.record_folder,
            clock=self.clock,
            queue_size=settings.queue_size,
            segment_bytes=settings.segment_bytes,
            max_total_bytes=settings.max_total_bytes,
            sync_interval_s=settings.sync_interval_s,
            lookup_bytes_per_hour=settings.lookup_bytes_per_hour,
        )
        return self._closing(recorder, recorder.close)

    @cached_property
    def recall_trust(self) -> Trust:
        """The public keys pinned for recall lists, and their threshold."""
        from ..signatures import Trust

        return Trust(self.config.recall.public_keys, self.config.recall.threshold)

    @cached_property
    def recall_lists(self) -> RecallLists:
        """The folder of the recall list in force."""
        from ..recall_lists.lists import RecallLists

        return RecallLists(self.config.recall_folder, self.recall_trust)

    @cached_property
    def recalls(self) -> RecallGuard:
        """Refuses what the recall list in force names, and follows newer lists of other processes.

        Raises `RecallListError` when there is a list that can't be trusted.
        """
        guard = RecallGuard(self.recall_lists, self.recorder.record)
        watch = BackgroundTask("the recall list", guard.look, interval_s=RECALL_INTERVAL_S)
        return self._closing(guard, watch.close)
