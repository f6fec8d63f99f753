"""Index parameters and index metadata: what their constructors accept."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from aerotile.domain.values.descriptors import DescriptorMetric, HnswParams, IndexMetadata, VectorStorage
from aerotile.domain.values.tile_key import VariantTable


def index_metadata(**changes: Any) -> IndexMetadata:
    facts: dict[str, Any] = {
        "dimension": 512,
        "count": 1000,
        "params": HnswParams(metric=DescriptorMetric.INNER_PRODUCT),
        "storage": VectorStorage.FLOAT16,
        "descriptor_model": "ground-net-7",
        "faiss_version": "1.14.2",
        "sha256": "0" * 64,
        "built_at": datetime(2026, 5, 1, tzinfo=timezone.utc),
        "variants": VariantTable(),
    }
    return IndexMetadata(**{**facts, **changes})


def test_the_graph_has_32_links_per_node_unless_told_otherwise() -> None:
    assert HnswParams().m == 32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("m", 1),
        ("m", 2.0),
        ("ef_construction", 0),
        ("ef_construction", True),
        ("ef_search", -5),
        ("ef_search", "64"),
    ],
)
def test_an_impossible_graph_parameter_is_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} ") as refusal:
        HnswParams(**{name: value})
    assert repr(value) in str(refusal.value)


def test_the_least_sensible_parameters_are_accepted() -> None:
    params = HnswParams(m=2, ef_construction=1, ef_search=1)
    assert (params.m, params.ef_construction, params.ef_search) == (2, 1, 1)
    assert (index_metadata(dimension=1).dimension, index_metadata(count=0).count) == (1, 0)


def test_a_metric_that_is_only_a_text_is_refused_by_value() -> None:
    with pytest.raises(ValueError, match=r"^metric .*, got 'l2'$"):
        HnswParams(metric="l2")  # type: ignore[arg-type] # the wrong type is what is tested


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimension", 0),
        ("dimension", 512.0),
        ("count", -1),
        ("params", None),
        ("storage", "x"),
        ("descriptor_model", 7),
        ("descriptor_model", ""),
        ("descriptor_model", "two\nlines"),
        ("faiss_version", None),
        ("sha256", None),
        ("variants", None),
        ("built_at", datetime(2026, 5, 1)),  # noqa: DTZ001 - naive on purpose
    ],
)
def test_impossible_index_metadata_is_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} ") as refusal:
        index_metadata(**{name: value})
    assert repr(value) in str(refusal.value)


def test_an_index_compares_descriptors_by_the_metric_of_its_parameters() -> None:
    assert index_metadata().metric is DescriptorMetric.INNER_PRODUCT
