"""The contract of `TileCatalogue`, held by the compiled catalogue and by the sorted arrays."""

from __future__ import annotations

import pytest

from aerotile.adapters.memory import tile_catalogue
from aerotile.domain.ports.tile_catalogue import TileCatalogue
from aerotile.ext import CompiledTileCatalogue
from aerotile.testing import MakeTileCatalogue, MemoryTileCatalogue, TileCatalogueContract


class TestTileCatalogue(TileCatalogueContract):
    @pytest.fixture(params=[MemoryTileCatalogue, CompiledTileCatalogue], ids=lambda kind: kind.__name__)
    def new_catalogue(self, request: pytest.FixtureRequest) -> MakeTileCatalogue:
        made: MakeTileCatalogue = request.param
        return made

    @pytest.fixture(params=[1, 3, 4_096], ids=lambda changes: f"merged after {changes}")
    def merging(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tile_catalogue, "_MERGE_AT", request.param)

    @pytest.mark.usefixtures("merging")
    @pytest.mark.parametrize("seed", range(3))
    def test_thousands_of_changes_at_random_places_are_all_there(
        self, catalogue: TileCatalogue, seed: int
    ) -> None:
        rounds = 3 if isinstance(catalogue, MemoryTileCatalogue) else 40
        self.change_thousands_of_tiles(catalogue, seed, rounds)
