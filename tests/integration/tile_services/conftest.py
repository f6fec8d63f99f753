from __future__ import annotations

from collections.abc import Iterator

import pytest
from service_reads import START
from tile_server import TileServer

from aerotile.adapters.memory.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def server(clock: ManualClock) -> Iterator[TileServer]:
    with TileServer(clock=clock) as running:
        yield running
