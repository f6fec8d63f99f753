"""The contract of `SupportsAreaSearch`: FAISS alone and in a base, the exact search, and as flown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from indexes_over_faiss import of_kind

from aerotile.adapters.memory.recall_source import MemoryRecallSource
from aerotile.domain.lookups.recalled_index import RecalledIndex
from aerotile.domain.lookups.recorded_index import RecordedIndex
from aerotile.domain.lookups.searchable_index import SearchableIndex
from aerotile.domain.store.recall_guard import RecallGuard
from aerotile.domain.values.descriptors import HnswParams
from aerotile.testing import (
    AreaSearchContract,
    MakeAreaSearch,
    MemoryDescriptorIndex,
    MemoryFlightRecorder,
)


class TestAreaSearch(AreaSearchContract):
    @pytest.fixture(params=["faiss_float16", "faiss_float32", "sealed-sq8_float16", "memory", "wrapped"])
    def make_index(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeAreaSearch]:
        made: list[SearchableIndex] = []

        def make(params: HnswParams) -> SearchableIndex:
            if request.param in ("memory", "wrapped"):
                made.append(MemoryDescriptorIndex(params))
            else:
                made.append(of_kind(request.param, tmp_path / "index", params))
            return made[-1] if request.param != "wrapped" else _as_a_flight_has_it(made[-1])

        yield make
        for index in made:
            index.close()


def _as_a_flight_has_it(index: SearchableIndex) -> SearchableIndex:
    recorder = MemoryFlightRecorder()
    recalled = RecalledIndex(index, RecallGuard(MemoryRecallSource(), recorder.record), store=lambda: None)
    return RecordedIndex(recalled, recorder, run="a1", store=lambda: None, keep_query=True)
