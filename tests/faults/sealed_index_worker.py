"""A process that opens and searches indexes made to deceive: changed, and their hashes made to agree.

Usage: sealed_index_worker.py ROOT FIRST LAST. ROOT holds one good generation; the changes of each number
from FIRST up to LAST follow from the number alone. Prints `NUMBER begun`, then how it ended: `refused` or
`answered`. Whatever else happens to this process is what the test is about.
"""

from __future__ import annotations

import json
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sealed_index import seal

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.index_layout import Section, check_layout
from aerotile.domain.errors import IndexUnavailableError

MOST_MEMORY_BYTES = 6 << 30
MOST_SECONDS = 60
EXTREMES = [
    0,
    1,
    2,
    -1,
    -2,
    255,
    1 << 15,
    1 << 31,
    -(1 << 31),
    (1 << 31) - 1,
    1 << 33,
    1 << 40,
    (1 << 63) - 1,
]
BULK = ("levels", "offsets", "links", "codes", "ids", "layer_ends", "entry")


class Forger:
    """Changes to the bytes of a good index, drawn by chance."""

    def __init__(self, good: bytes, chance: random.Random) -> None:
        self._sections = check_layout(good)
        self._chance = chance
        self.content = bytearray(good)
        self.facts: dict[str, Any] = {}

    def change(self) -> None:
        """One change, as often in a byte class of a few bytes as in one of many."""
        acts: list[Callable[[Section], None]] = [
            self._flip,
            self._extreme,
            self._extreme,
            self._noise,
            self._repeat,
            self._neighbour,
            self._move_the_start,
        ]
        name = self._chance.choice([*self._sections, *BULK])
        section = self._sections[name]
        if section.begin < section.end <= len(self.content):
            self._chance.choice(acts)(section)
        if self._chance.random() < 0.1:
            self._resize(section)
        if self._chance.random() < 0.2:
            self._lie()

    def _place(self, section: Section, size: int = 1) -> int:
        items = max(1, (section.end - section.begin) // size)
        return section.begin + size * self._chance.randrange(items)

    def _flip(self, section: Section) -> None:
        self.content[self._place(section)] ^= 1 << self._chance.randrange(8)

    def _extreme(self, section: Section) -> None:
        """A number at its item's place: an edge of its type, of the count, or near what was there."""
        size = self._chance.choice([4, 8])
        place = self._place(section, size)
        before = int.from_bytes(self.content[place : place + size], "little", signed=True)
        number = self._chance.choice([*EXTREMES, before + 1, before - 1, before * 2, 300, 299, 301])
        self._put(place, number, size)

    def _put(self, place: int, number: int, size: int) -> None:
        wrapped = number & ((1 << 8 * size) - 1)
        length = len(self.content)
        self.content[place : place + size] = wrapped.to_bytes(size, "little")
        del self.content[length:]

    def _noise(self, section: Section) -> None:
        place = self._place(section)
        length = min(self._chance.choice([4, 16, 1000]), section.end - place)
        self.content[place : place + length] = self._chance.randbytes(length)

    def _repeat(self, section: Section) -> None:
        """The whole class filled with one item; of vectors, numbers that are infinite or none."""
        item = self._chance.choice(
            [b"\xff", b"\0", b"\xff\x7f", b"\0\x7c", b"\0\xfc", b"\0\0\xc0\x7f", b"\1\0\0\0"]
        )
        length = section.end - section.begin
        self.content[section.begin : section.end] = (item * length)[:length]

    def _neighbour(self, section: Section) -> None:
        """Two items of the class change places."""
        size = self._chance.choice([4, 8])
        one, two = self._place(section, size), self._place(section, size)
        first, second = self.content[one : one + size], self.content[two : two + size]
        if len(first) == len(second) and abs(one - two) >= size:
            self.content[one : one + size], self.content[two : two + size] = second, first

    def _move_the_start(self, _: Section) -> None:
        """Another node or layer to begin a search at, and perhaps another share of links for a layer."""
        entry = self._sections["entry"].begin
        self._put(entry, self._chance.randrange(300), 4)
        self._put(entry + 4, self._chance.randrange(16), 4)
        if self._chance.random() < 0.5:
            ends = self._sections["layer_ends"]
            first = (ends.end - ends.begin) // 4 - self._chance.randrange(1, 4)
            for place in range(ends.begin + 4 * first, ends.end, 4):
                self._put(place, 1 << self._chance.randrange(8, 31), 4)

    def _resize(self, section: Section) -> None:
        """Bytes of the class are gone, or there are more; its length may be made to agree."""
        length = self._chance.choice([1, 4, 8, 24, 400])
        if self._chance.random() < 0.5:
            del self.content[section.begin : section.begin + length]
        else:
            self.content[section.begin : section.begin] = self._chance.randbytes(length)

    def _lie(self) -> None:
        """Metadata that agree with some other index."""
        name = self._chance.choice(["count", "dimension"])
        self.facts[name] = self._chance.choice([1, 11, 13, 24, 299, 301, 600, 1 << 31, 1 << 40])
        header = {"count": (8, 8), "dimension": (4, 4)}[name]
        for magic in ("index magic", "graph magic", "vectors magic"):
            if magic in self._sections:
                self._put(self._sections[magic].begin + header[0], self.facts[name], header[1])


def open_and_search(root: Path) -> str:
    """`refused` or `answered`; every search may be refused too."""
    try:
        index = FaissDescriptorIndex(root)
        for scale in (1e-12, 1.0, 1e16):
            query = np.full(index.dimension(), scale, np.float32)
            index.search(query, 10)
            index.search(query, 10_000)
    except IndexUnavailableError:
        return "refused"
    return "answered"


def tell(number: int, what: str) -> None:
    sys.stdout.write(f"{number} {what}\n")
    sys.stdout.flush()


def main() -> None:
    root, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    folder = root / "generations" / "000001"
    good = (folder / "tiles.index").read_bytes()
    facts = json.loads((folder / "tiles.meta.json").read_bytes())
    for number in range(first, last):
        tell(number, "begun")
        resource.setrlimit(resource.RLIMIT_CPU, (_cpu_seconds() + MOST_SECONDS, resource.RLIM_INFINITY))
        chance = random.Random(number)
        forger = Forger(good, chance)
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            forger.change()
        seal(folder, bytes(forger.content), facts | forger.facts)
        tell(number, open_and_search(root))
    seal(folder, good, facts)


def _cpu_seconds() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


if __name__ == "__main__":
    main()
