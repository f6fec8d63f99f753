"""Markers that keep a test out of `make test`, and a count of what a run left out, printed at its end.

And the garbage collector, for which what pytest collects is no garbage.
"""

from __future__ import annotations

import gc
from collections import Counter

import pytest

REASONS = {"faults": "break the machine on purpose, slower than the rest: make test-faults"}
"""Why the tests of a marker are left out, where not each test says so, and the command that runs them."""

_LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin the count."""
    config.stash[_LEFT_OUT] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a `slow` without a reason, and put what waits for something to the end."""
    for item in items:
        for marker in item.iter_markers("slow"):
            if not marker.kwargs.get("reason"):
                raise pytest.UsageError(f"{item.nodeid}: slow(reason=...) says why")
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_sessionstart() -> None:
    """Look for no garbage while modules and tests are collected."""
    gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Hide what was collected from the garbage collector, which tests call by the hundred.

    Not at the end of the collection, which the process that hands tests out to others never comes to.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count each test that a marker leaves out, by the marker and its reason."""
    for item in items:
        if item.get_closest_marker("faults"):
            item.config.stash[_LEFT_OUT][f"faults: {REASONS['faults']}"] += 1
        elif slow := item.get_closest_marker("slow"):
            item.config.stash[_LEFT_OUT][f"slow: {slow.kwargs['reason']}: make test-all"] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the count of a worker to the process that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash[_LEFT_OUT])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take the count of a worker; each worker collects all tests, so that one count is that of all."""
    config, output = node.config, getattr(node, "workeroutput", {})  # type: ignore[attr-defined] # xdist's
    config.stash[_LEFT_OUT] |= Counter(output.get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was left out."""
    if left_out := config.stash[_LEFT_OUT]:
        terminalreporter.section("left out")
        for line, count in left_out.most_common():
            terminalreporter.write_line(f"{count:>5} {line}")
