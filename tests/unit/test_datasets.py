"""Datasets as values: what a name, a licence and a digest must be, and how two differ."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
import pytest
from dataset_facts import FACTS

from aerotile.domain.values.datasets import MAX_TEXT, Dataset, DigestOf
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource


@pytest.mark.parametrize("missing", [name for name in FACTS if name != "captured_at"])
def test_no_fact_of_a_dataset_has_a_default_but_its_date(missing: str) -> None:
    with pytest.raises(TypeError, match=missing):
        Dataset(**{name: value for name, value in FACTS.items() if name != missing})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", name) for name in ("", "a" * 65, "-a", ".a", "a b", "a/b", "ä", "a\n", None, 7)),
        *((field, text) for field in ("licence", "attribution", "source", "captured_from")
          for text in ("", " ", " a", "a\nb", "a\x1b[0m", "a" * (MAX_TEXT + 1), None)),
        *(("may_be_stored_offline", value) for value in (None, 1, "yes")),
        *(("source_sha256", value) for value in ("", "AB" * 32, "ab" * 31, None)),
        ("digest_of", "file"),
        ("captured_at", FACTS["captured_at"].replace(tzinfo=None)),
        ("captured_at", datetime(2025, 5, 1, tzinfo=timezone(timedelta(hours=1)))),
        ("captured_at", "2025-05-01"),
    ],
)  # fmt: skip
def test_an_impossible_fact_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match="name has 1 to 64" if field == "name" else field):
        Dataset(**FACTS | {field: value})


def test_each_difference_is_named_with_both_values() -> None:
    dataset = Dataset(**FACTS)
    other = attrs.evolve(
        dataset, licence="none", may_be_stored_offline=False, captured_at=None, digest_of=DigestOf.STATED
    )
    assert dataset.differences(other) == (
        "licence CC-BY-4.0, not none",
        "may_be_stored_offline yes, not no",
        "digest_of file, not stated",
        "captured_at 2025-05-01T00:00:00+00:00, not None",
    )
    assert dataset.differences(dataset) == ()


@pytest.mark.parametrize(
    ("source", "dataset", "message"),
    [
        (TileSource.IMPORTED, "no such name", "dataset's name"),
        (TileSource.ONBOARD, "ortho-2025", "onboard tile is of no dataset"),
    ],
)
def test_a_tile_names_a_dataset_that_can_be_and_an_onboard_tile_none(
    source: TileSource, dataset: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TileMetadata(
            tile_id=TileId(3, 1, 1, source, UUID(int=1) if source is TileSource.ONBOARD else None),
            captured_at=FACTS["captured_at"],
            content_sha256="ab" * 32,
            disk_bytes=10,
            ground_sample_distance=1.0,
            dataset=dataset,
        )
