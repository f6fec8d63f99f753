"""The catalogue's values: columns that fit together, and rows turned into them chunk by chunk."""

from __future__ import annotations

from datetime import datetime, timezone
from uuid import UUID

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain.values import catalogue_entries as catalogue_module
from aerotile.domain.values.catalogue_entries import CatalogueColumns, columns_of
from aerotile.domain.values.tile_key import VariantTable, decode_tile_key
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource
from aerotile.domain.values.timestamps import microseconds_of, timestamp_of

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def row(x: int, flight: int) -> TileMetadataPersistent:
    metadata = TileMetadata(
        tile_id=TileId(9, x, 3, TileSource.ONBOARD, UUID(int=flight)),
        captured_at=NOW,
        content_sha256=f"{x:064x}",
        disk_bytes=x + 1,
        ground_sample_distance=1.0,
    )
    return TileMetadataPersistent.of(metadata, created_at=NOW)


@pytest.mark.parametrize("chunk", [1, 3, 10, 65_536])
def test_rows_become_columns_in_their_order_whatever_the_chunk(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_module, "_CHUNK", chunk)
    rows = [row(x, x % 4) for x in range(10)]
    columns, variants = columns_of(iter(rows))
    assert [decode_tile_key(key, variants) for key in columns.keys.tolist()] == [r.tile_id for r in rows]
    assert columns.disk_bytes.tolist() == [r.disk_bytes for r in rows]
    assert [each.tobytes().hex() for each in columns.content_sha256] == [r.content_sha256 for r in rows]


def test_no_rows_become_columns_of_no_length() -> None:
    columns, variants = columns_of([])
    assert (len(columns), variants) == (0, VariantTable())


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("keys", np.zeros(2, np.int32)),
        ("captured_us", np.zeros(3, np.int64)),
        ("accessed_us", np.zeros((2, 1), np.int64)),
        ("disk_bytes", np.zeros(2, np.uint32)),
        ("flags", np.zeros(2, np.int64)),
        ("content_sha256", np.zeros((2, 31), np.uint8)),
        ("content_sha256", np.zeros(64, np.uint8)),
    ],
)
def test_columns_that_do_not_fit_together_are_refused_by_name(field: str, wrong: np.ndarray) -> None:  # type: ignore[type-arg] # any dtype
    columns, _ = columns_of([row(1, 1), row(2, 1)])
    with pytest.raises(ValueError, match=f"{field} must be"):
        attrs.evolve(columns, **{field: wrong})


def test_joined_columns_and_columns_at_places_keep_their_rows_whole() -> None:
    variants = VariantTable((UUID(int=1),))
    columns = CatalogueColumns.joined([CatalogueColumns.of([row(x, 1)], variants) for x in (5, 6, 7)])
    entries = [columns.entry(place, row(x, 1).tile_id) for place, x in enumerate((5, 6, 7))]
    taken = columns.at(np.array([2, 0]))
    assert [taken.entry(0, row(7, 1).tile_id), taken.entry(1, row(5, 1).tile_id)] == [entries[2], entries[0]]


@given(st.datetimes(timezones=st.just(timezone.utc)))
def test_a_time_survives_as_microseconds(moment: datetime) -> None:
    assert timestamp_of(microseconds_of(moment)) == moment
