"""One process's follower for each test."""

from __future__ import annotations

import pytest
from followed_rows import Site


@pytest.fixture
def site() -> Site:
    return Site()
