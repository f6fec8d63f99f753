"""When a recall list takes effect in a running process, and which list never does."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.recall_source import MemoryRecallSource
from aerotile.domain.errors import RecallListError, TileRecalledError
from aerotile.domain.flight_events import EventKind
from aerotile.domain.ports.recall_source import RecallInForce
from aerotile.domain.store.recall_guard import RecallGuard
from aerotile.domain.values.recall_list import RecallList
from aerotile.domain.values.tiles import TileId, TileSource

TILE = TileId(4, 8, 7, TileSource.IMPORTED)
DIGEST = "ab" * 32


def recalling(number: int) -> RecallList:
    return RecallList(number=number, reason="forged", digests=[DIGEST])


class Doubtful(MemoryRecallSource):
    """A source whose list can't be trusted while it has an `error`."""

    error: Exception | None = None
    reads = 0

    def read(self) -> RecallInForce | None:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return super().read()


def is_recalled(guard: RecallGuard) -> bool:
    try:
        guard.check(TILE, 0, DIGEST)
    except TileRecalledError:
        return True
    return False


def test_a_list_takes_effect_at_a_look_and_listeners_run_when_it_is_in_force() -> None:
    source, recorder = Doubtful(), MemoryFlightRecorder()
    guard = RecallGuard(source, recorder.record)
    seen: list[int | None] = []
    guard.when_changed(lambda: seen.append(None if guard.in_force is None else guard.in_force.number))
    source.put(recalling(7))
    assert not is_recalled(guard)
    guard.look()
    assert is_recalled(guard)
    assert seen == [None, 7]
    reads = source.reads
    guard.look()
    assert source.reads == reads  # nothing is read while the mark is the same
    (event, held_back) = recorder.events
    assert (event.kind, event.reason) == (EventKind.RECALL_IN_FORCE, "in_force")
    assert event.payload == {
        "number": 7, "why": "forged", "list_sha256": f"{7:064x}", "signed_by": [], "entries": 1,
    }  # fmt: skip
    assert held_back.kind is EventKind.RECALLED


def test_without_a_trusted_list_nothing_begins() -> None:
    source = Doubtful()
    source.error = RecallListError("it is not signed")
    with pytest.raises(RecallListError, match="it is not signed"):
        RecallGuard(source, lambda event: None)


@pytest.mark.parametrize("error", [RecallListError("it is not signed"), OSError(5, "I/O error")])
def test_an_untrusted_list_leaves_the_one_before_in_force_which_is_recorded_once(
    error: Exception,
) -> None:
    source, recorder = Doubtful(recalling(7)), MemoryFlightRecorder()
    guard = RecallGuard(source, recorder.record)
    source.put(RecallList(number=8, reason="all is well"))
    source.error = error
    for _ in range(3):
        guard.look()
    assert is_recalled(guard)
    refused = [event for event in recorder.events if event.kind is EventKind.RECALL_REFUSED]
    assert [event.payload for event in refused] == [{"number": 7, "error": str(error)}]
    source.error = None
    guard.look()  # the same mark, and it can be read now
    assert guard.in_force is not None
    assert guard.in_force.number == 8
    assert not is_recalled(guard)


@pytest.mark.parametrize("later", [RecallList(number=6, reason="older"), None])
def test_a_list_is_never_taken_back(later: RecallList | None) -> None:
    source, recorder = Doubtful(recalling(7)), MemoryFlightRecorder()
    guard = RecallGuard(source, recorder.record)
    if later is None:
        source._in_force = None
        source._changes += 1
    else:
        source.put(later)
    guard.look()
    assert is_recalled(guard)
    assert recorder.events[1].kind is EventKind.RECALL_REFUSED
    assert "in the place of list 7" in recorder.events[1].payload["error"]


def test_a_list_that_comes_while_another_is_read_is_not_missed() -> None:
    class Overtaken(MemoryRecallSource):
        """Puts list 9 in force behind the mark of list 8."""

        def read(self) -> RecallInForce | None:
            found = super().read()
            if found is not None and found.recalls.number == 8:
                self.put(recalling(9))
            return found

        def mark(self) -> Hashable:
            return super().mark()

    source = Overtaken(recalling(7))
    guard = RecallGuard(source, lambda event: None)
    source.put(recalling(8))
    guard.look()
    guard.look()
    assert guard.in_force is not None
    assert guard.in_force.number == 9
