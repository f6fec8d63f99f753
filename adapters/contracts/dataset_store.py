"""The contract of `DatasetStore`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

import attrs
import pytest

from ...domain.errors import DatasetConflictError, UnknownDatasetError
from ...domain.ports.dataset_store import DatasetStore
from ...domain.values.datasets import Dataset, DigestOf

ORTHO = Dataset(
    name="ortho-2025",
    licence="CC-BY-4.0",
    attribution="© Survey Office, 'north'; 50 % cloud",
    may_be_stored_offline=True,
    source="ortho.tif",
    source_sha256="ab" * 32,
    digest_of=DigestOf.FILE,
    captured_at=datetime(2025, 5, 1, 12, 30, 15, 123456, tzinfo=timezone.utc),
    captured_from="by hand",
)

OTHER_SOURCES: list[dict[str, Any]] = [
    {"source": "ortho-2.tif"},
    {"source_sha256": "cd" * 32},
    {"digest_of": DigestOf.STATED},
]
CORRECTIONS: list[dict[str, Any]] = [
    {"licence": "proprietary"},
    {"attribution": "nobody"},
    {"may_be_stored_offline": False},
    {"captured_at": None, "captured_from": "a CSV by tile"},
]


class DatasetStoreContract:
    """Holds a store in which no dataset is defined."""

    @pytest.fixture
    def store(self) -> DatasetStore:
        """The store under test. Override it."""
        raise NotImplementedError

    def test_it_is_a_dataset_store(self, store: DatasetStore) -> None:
        assert isinstance(store, DatasetStore)
        assert store.datasets() == ()

    def test_a_dataset_comes_back_as_it_was_defined(self, store: DatasetStore) -> None:
        undated = attrs.evolve(ORTHO, name="A.b_c-9", captured_at=None, may_be_stored_offline=False)
        store.define(ORTHO)
        store.define(undated)
        assert store.find("ortho-2025") == ORTHO
        assert store.datasets() == (undated, ORTHO)

    def test_the_same_dataset_may_be_defined_again(self, store: DatasetStore) -> None:
        store.define(ORTHO)
        store.define(ORTHO)
        assert store.datasets() == (ORTHO,)

    @pytest.mark.parametrize("change", [*OTHER_SOURCES, *CORRECTIONS])
    def test_a_name_never_comes_to_stand_for_other_facts_by_a_definition(
        self, store: DatasetStore, change: dict[str, Any]
    ) -> None:
        store.define(ORTHO)
        with pytest.raises(DatasetConflictError) as refused:
            store.define(attrs.evolve(ORTHO, **change))
        assert [text.split(" ")[0] for text in refused.value.differences] == list(change)
        assert store.datasets() == (ORTHO,)

    @pytest.mark.parametrize("change", CORRECTIONS)
    def test_facts_of_a_dataset_are_corrected_and_its_source_stays(
        self, store: DatasetStore, change: dict[str, Any]
    ) -> None:
        store.define(ORTHO)
        store.define(attrs.evolve(ORTHO, name="other"))
        amended = attrs.evolve(ORTHO, **change)
        store.amend(amended)
        assert store.find(ORTHO.name) == amended
        assert store.find("other") == attrs.evolve(ORTHO, name="other")

    @pytest.mark.parametrize("change", OTHER_SOURCES)
    def test_a_dataset_is_never_amended_to_another_source(
        self, store: DatasetStore, change: dict[str, Any]
    ) -> None:
        store.define(ORTHO)
        with pytest.raises(DatasetConflictError):
            store.amend(attrs.evolve(ORTHO, licence="another", **change))
        assert store.datasets() == (ORTHO,)

    @pytest.mark.parametrize(
        "name", ["other", "", "a\x00b", "\udcff", "x" * 100_000], ids=lambda name: ascii(name)[:20]
    )
    def test_a_name_that_no_dataset_has_is_unknown(self, store: DatasetStore, name: str) -> None:
        with pytest.raises(UnknownDatasetError) as refusal:
            store.find(name)
        assert refusal.value.name == name

    @pytest.mark.parametrize(
        "ask", [lambda store: store.find(ORTHO.name), lambda store: store.amend(ORTHO)], ids=["find", "amend"]
    )
    def test_a_dataset_that_is_not_defined_is_refused_with_the_way_out(
        self, store: DatasetStore, ask: Callable[[DatasetStore], object]
    ) -> None:
        with pytest.raises(UnknownDatasetError, match="ortho-2025") as refused:
            ask(store)
        assert "aerotile datasets define ortho-2025" in (refused.value.remedy or "")
        assert store.datasets() == ()

    def test_of_several_who_define_a_name_at_once_the_first_one_stays(self, store: DatasetStore) -> None:
        def define(number: int) -> int | None:
            try:
                store.define(attrs.evolve(ORTHO, licence=f"licence {number}"))
            except DatasetConflictError:
                return None
            return number

        with ThreadPoolExecutor(4) as pool:
            (winner,) = [number for number in pool.map(define, range(8)) if number is not None]
        assert store.find(ORTHO.name).licence == f"licence {winner}"
