"""One seed for all that tests draw at random: fresh in each run, printed, and given again with TEST_SEED."""

from __future__ import annotations

import os
import random
import secrets

import pytest


def random_of(name: str) -> random.Random:
    """Random numbers of this run for the test `name`, whatever other tests drew."""
    return random.Random(f"{os.environ['TEST_SEED']} {name}")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed, which workers inherit; Hypothesis reads it later in the same step."""
    seed = os.environ.setdefault("TEST_SEED", str(secrets.randbelow(1 << 32)))
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = seed


def _line() -> str:
    return f"random seed: TEST_SEED={os.environ['TEST_SEED']}"


def pytest_report_header() -> str:
    """The seed, above the tests."""
    return _line()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """The seed once more, where a failure is read."""
    if exitstatus:
        terminalreporter.write_line(_line())
