"""Every catalogue that the tests of `TileCatalogue` run with."""

from __future__ import annotations

import pytest
from catalogue_rows import IMPLEMENTATIONS

from aerotile.domain.ports.tile_catalogue import TileCatalogue


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda kind: kind.__name__)
def catalogue(request: pytest.FixtureRequest) -> TileCatalogue:
    empty: TileCatalogue = request.param()
    return empty
