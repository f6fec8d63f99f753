"""The log of a disk (faults/logging_disk.py), and the states in which a power cut could have left the disk.

What was written before a flush is there after it. Of what was written since the last one, anything may be,
but a sector is never torn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import attrs

Part = tuple[int, int, int]
"""Of the write at a place in the log, which of its bytes arrived: from and to."""


@attrs.frozen
class State:
    """What of a log arrived on the disk, and what the store had said by then."""

    name: str
    parts: list[Part]
    said: list[str]


@attrs.frozen
class Log:
    """What a disk was told, in order."""

    entries: list[list[object]]
    sector_bytes: int

    def _writes(self, start: int, end: int) -> list[Part]:
        return [
            (place, 0, entry[1])
            for place, entry in enumerate(self.entries[start:end], start)
            if entry[0] == "write"
        ]

    def _said(self, end: int) -> list[str]:
        return [text for kind, *text in self.entries[:end] if kind == "mark" for text in text]

    def _flushed(self, end: int) -> int:
        """The place before which all was flushed when `end` was reached."""
        return max((place for place in range(end) if self.entries[place][0] == "flush"), default=0)

    def prefixes(self, *, sectors: bool) -> Iterator[State]:
        """Everything arrived in order until power went, and the store said as much as it could before."""
        yield State("all of it", self._writes(0, len(self.entries)), self._said(len(self.entries)))
        for place, _, size in self._writes(0, len(self.entries)):
            before = self._writes(0, place)
            for end in range(0, size if sectors else 1, self.sector_bytes):
                yield State(f"up to {place}/{end}", [*before, (place, 0, end)], self._said(place))

    def losses(self) -> Iterator[State]:
        """At each thing that was said, nothing arrived but what was flushed."""
        for place, (kind, *_) in enumerate(self.entries):
            if kind == "mark":
                parts = self._writes(0, self._flushed(place))
                yield State(f"flushed before {place}", parts, self._said(place + 1))

    def single_losses(self) -> Iterator[State]:
        """Just before a flush, all but one of the writes since the last one arrived."""
        for end, (kind, *_) in enumerate(self.entries):
            flushed = self._flushed(end)
            loose = self._writes(flushed, end)
            if kind == "flush" and len(loose) > 1:
                for lost in loose:
                    parts = [*self._writes(0, flushed), *(part for part in loose if part != lost)]
                    yield State(f"up to {end} without {lost[0]}", parts, self._said(end))

    def before_the_last_commit(self) -> State:
        """All that was there when the row of a tile was about to be removed for good."""
        place = max(place for place, entry in enumerate(self.entries) if entry == ["mark", "f"])
        return State("before the last commit", self._writes(0, place), self._said(place))

    def shuffles(self, chance: random.Random, count: int) -> Iterator[State]:
        """Of what was not flushed, anything arrived."""
        places = [end for end in range(len(self.entries) + 1) if self._writes(self._flushed(end), end)]
        for end in chance.choices(places, k=count):
            flushed = self._flushed(end)
            loose = [part for part in self._writes(flushed, end) if chance.random() < 0.5]
            chance.shuffle(loose)
            if loose and chance.random() < 0.5:
                place, _, size = loose[-1]
                loose[-1] = (place, 0, chance.randrange(0, size, self.sector_bytes))
            parts = [*self._writes(0, flushed), *loose]
            yield State(f"up to {flushed} and {loose} before {end}", parts, self._said(end))
