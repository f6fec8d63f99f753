"""What every adapter of a port must hold: one suite of tests a port, public as `aerotile.testing`.

A suite is a class of pytest tests. A test file subclasses the suite as `class TestMine(ClockContract)` and
overrides the fixture that provides the adapter under test. The adapters of this package have their
subclasses in tests/contract.
"""

from __future__ import annotations

import pkgutil

import pytest

# The message of a failed assertion shows the compared values, as in a test file.
pytest.register_assert_rewrite(*(found.name for found in pkgutil.iter_modules(__path__, f"{__name__}.")))
