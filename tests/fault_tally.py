"""A count of every fault that the tests ran for real, and of what was lost to them; printed at the end."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import pytest


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


_TALLY = pytest.StashKey[FaultTally]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin the count."""
    config.stash[_TALLY] = FaultTally()


@pytest.fixture(scope="session")
def fault_tally(pytestconfig: pytest.Config) -> FaultTally:
    """Where a fault test notes what it ran and what was lost; the table is printed at the end."""
    return pytestconfig.stash[_TALLY]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the count of a worker to the process that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = session.config.stash[_TALLY].counts


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Add the count of a worker."""
    config, output = node.config, getattr(node, "workeroutput", {})  # type: ignore[attr-defined] # xdist's
    for kind, (runs, lost, torn, leaked) in output.get("faults", {}).items():
        config.stash[_TALLY].add(kind, runs, lost=lost, torn=torn, leaked=leaked)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the count."""
    if config.stash[_TALLY].counts:
        terminalreporter.section("faults")
        for line in config.stash[_TALLY].lines():
            terminalreporter.write_line(line)
