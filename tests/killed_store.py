"""A store whose programs are killed before a system call, and what is checked after each kill."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import psycopg
from fault_tally import FaultTally
from nursery import Ending, Nursery
from store_facts import Audit
from store_sessions import advisory_locks, await_end_of_sessions, other_sessions


@attrs.define
class KilledStore:
    """One store, one life after another."""

    nursery: Nursery
    tally: FaultTally
    kind: str
    order: dict[str, Any]
    connection: psycopg.Connection[Any]
    chance: random.Random
    number: int = 0
    kills: int = 0
    _confirmed: dict[str, str] = attrs.field(factory=dict)
    """What the store said it holds."""
    _will: dict[str, str | None] = attrs.field(factory=dict)
    """What the last life was about to change, and did not say that it had."""
    _may_go: set[str] = attrs.field(factory=set)
    """What the last life may have evicted."""

    @property
    def root(self) -> Path:
        return Path(self.order["root"])

    @property
    def tiles(self) -> Path:
        return self.root / "tiles"

    def live(self, operation: str, kill_at: int | None) -> Ending:
        """Open the store, look at what the life before has left, and do something that ends in a kill."""
        ready = self._open(operation)
        ending = self.nursery.kill_at(kill_at)
        self._expect(ready, ending)
        return ending

    @contextmanager
    def held_at(self, operation: str, number: int) -> Iterator[dict[str, str | None]]:
        """The same with a life that is held before a call, and goes on to its end afterwards.

        Yields what it is about to change.
        """
        ready = self._open(operation)
        with self.nursery.held_at(number) as name:
            yield ready["will"]
        self._expect(ready, Ending(name, (), True))

    def longest_calls(self, operation: str) -> tuple[str, ...]:
        """What it calls when it is left alone; one life in two makes a new folder."""
        return max((self.live(operation, None).calls for _ in range(2)), key=len)

    def finish(self) -> None:
        """Open the store once more, and look."""
        self.live("nothing", None)

    def look(self) -> None:
        """Compare what lies there with what the store said. Nobody may be writing."""
        state = Audit.of(self.connection, self.tiles)
        self.tally.add(self.kind, 0, lost=len(state.lost), torn=len(state.torn), leaked=len(state.leaked))
        state.assert_whole()
        self._settle(state.rows)
        assert advisory_locks(self.connection) == 0, "a lock is left"

    def _open(self, operation: str) -> dict[str, Any]:
        self.number += 1
        said = self.nursery.begin(operation, self.number, **self.order)
        if "ready" in said:
            return said
        self.look()
        assert (said["files_missing"], said["left_for_later"]) == (0, 0), f"the opening says {said}"
        return self.nursery.prepare()

    def _expect(self, ready: dict[str, Any], ending: Ending) -> None:
        self.confirm(ready["sure"])
        self._may_go = set(ready["may_go"])
        if ending.done:
            self.confirm(ready["will"])
        else:
            self._will = ready["will"]
        self.kills += ending.reached is not None
        self.tally.add(self.kind, ending.reached is not None)
        sessions = other_sessions(self.connection)
        if ending.reached is not None and self.chance.random() < 0.25:
            # Beside sessions of the dead that may still commit, as the next program would.
            self.nursery.begin("nothing", self.number, **self.order)
            await_end_of_sessions(self.connection, sessions)
            self.nursery.prepare()
            self.nursery.kill_at(None)
            sessions = other_sessions(self.connection)
        await_end_of_sessions(self.connection, sessions)

    def confirm(self, changes: dict[str, str | None]) -> None:
        """Note what the store said that it did."""
        for tile, sha256 in changes.items():
            if sha256 is None:
                self._confirmed.pop(tile, None)
            else:
                self._confirmed[tile] = sha256

    def _settle(self, rows: Mapping[str, str]) -> None:
        """What was confirmed is there; what was not is there as a whole, or not at all."""
        now = {tile: rows.get(tile) for tile in self._will}
        before = {tile: self._confirmed.get(tile) for tile in self._will}
        assert now in (self._will, before), f"half of a change: {now}, before {before}, wanted {self._will}"
        self.confirm(now)
        for tile in self._may_go - rows.keys():
            self._confirmed.pop(tile, None)
        differing = rows.items() ^ self._confirmed.items()
        assert not differing, f"committed and confirmed tiles differ in {sorted(differing)}"
        self._will, self._may_go = {}, set()
