"""The catalogue under test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ....domain.ports.tile_catalogue import TileCatalogue

MakeTileCatalogue = Callable[[], TileCatalogue]


class OfTileCatalogue:
    """The fixtures of every part of the contract."""

    @pytest.fixture
    def new_catalogue(self) -> MakeTileCatalogue:
        """Build an empty catalogue. Override it."""
        raise NotImplementedError

    @pytest.fixture
    def catalogue(self, new_catalogue: MakeTileCatalogue) -> TileCatalogue:
        return new_catalogue()
