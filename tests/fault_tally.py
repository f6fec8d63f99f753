"""A count of every fault that the tests ran for real, and of what was lost to them; printed at the end."""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.define
class FaultTally:
    """Runs by kind of fault, and how many tiles were lost, torn or leaked in them."""

    counts: dict[str, list[int]] = attrs.field(factory=dict)

    def add(self, kind: str, runs: int, *, lost: int = 0, torn: int = 0, leaked: int = 0) -> None:
        """Note `runs` faults of one kind, and the tiles that did not survive them as they should."""
        counts = self.counts.setdefault(kind, [0, 0, 0, 0])
        for place, number in enumerate((runs, lost, torn, leaked)):
            counts[place] += number

    def lines(self) -> Iterable[str]:
        """A table, a line per kind and one for all."""
        width = max(map(len, self.counts), default=0) + 2
        yield f"{'fault':<{width}}{'runs':>8}{'lost':>8}{'torn':>8}{'leaked':>8}"
        for kind, counts in sorted(self.counts.items()):
            yield f"{kind:<{width}}" + "".join(f"{count:>8}" for count in counts)
        total = [sum(column) for column in zip(*self.counts.values(), strict=True)]
        yield f"{'all':<{width}}" + "".join(f"{count:>8}" for count in total)
