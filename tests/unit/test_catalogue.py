"""The catalogue agrees with a plain dictionary whatever is loaded, added and removed."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerotile.domain import catalogue as catalogue_module
from aerotile.domain.catalogue import CatalogueEntry, TileCatalogue
from aerotile.domain.tile_key import decode_tile_key
from aerotile.domain.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
FLIGHTS = [UUID(int=n) for n in (7, 8)]

onboard = st.builds(
    TileId,
    st.just(4),
    st.integers(0, 3),
    st.integers(0, 3),
    st.just(TileSource.ONBOARD),
    st.sampled_from(FLIGHTS),
)
fetched = st.builds(
    TileId,
    st.just(4),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([TileSource.SATELLITE_PROVIDER, TileSource.IMPORTED]),
)
tile_ids = st.one_of(onboard, fetched)


def row(tile_id: TileId, size: int) -> TileMetadataPersistent:
    metadata = TileMetadata(
        tile_id=tile_id,
        captured_at=NOW - timedelta(hours=size, microseconds=size),
        content_sha256="0" * 64,
        disk_bytes=size,
        ground_sample_distance=1.0,
    )
    return TileMetadataPersistent.of(metadata, created_at=NOW)


@pytest.fixture(params=[1, 3, 65_536], ids=lambda chunk: f"chunk of {chunk}")
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_module, "_CHUNK", request.param)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("seed", range(20))
def test_lookups_agree_after_any_sequence_of_changes(seed: int) -> None:
    chance = random.Random(seed)
    ids = [
        TileId(4, x, y, source, flight)
        for x in range(3)
        for y in range(3)
        for source, flight in [
            (TileSource.IMPORTED, None),
            (TileSource.ONBOARD, FLIGHTS[0]),
            (TileSource.ONBOARD, FLIGHTS[1]),
        ]
    ]
    model: dict[TileId, CatalogueEntry] = {}
    tested = TileCatalogue()
    start = [row(tile_id, chance.randint(1, 999)) for tile_id in chance.sample(ids, 10)]
    tested.load(iter(start))
    model.update({r.tile_id: CatalogueEntry(r.captured_at, r.disk_bytes) for r in start})
    for _ in range(60):
        tile_id = chance.choice(ids)
        if chance.random() < 0.5:
            new = row(tile_id, chance.randint(1, 999))
            tested.add(new)
            model[tile_id] = CatalogueEntry(new.captured_at, new.disk_bytes)
        else:
            tested.remove(tile_id)
            model.pop(tile_id, None)
        assert len(tested) == len(model)
    for tile_id in ids:
        assert tested.get(tile_id) == model.get(tile_id)
        assert (tile_id in tested) == (tile_id in model)
    keys, variants = tested.snapshot()
    assert {decode_tile_key(int(key), variants) for key in keys} == set(model)
    assert list(keys) == sorted(keys)


@given(st.dictionaries(tile_ids, st.integers(1, 10**6), max_size=30), tile_ids)
def test_what_was_loaded_is_found_with_its_facts(sizes: dict[TileId, int], other: TileId) -> None:
    tested = TileCatalogue()
    tested.load(row(tile_id, size) for tile_id, size in sizes.items())
    assert len(tested) == len(sizes)
    for tile_id, size in sizes.items():
        expected = row(tile_id, size)
        assert tested.get(tile_id) == CatalogueEntry(expected.captured_at, size)
    assert (other in tested) == (other in sizes)


def test_a_second_load_replaces_the_first() -> None:
    tested = TileCatalogue()
    first, second = (TileId(4, x, 0, TileSource.IMPORTED) for x in (0, 1))
    tested.load([row(first, 1)])
    tested.load([row(second, 1)])
    assert first not in tested
    assert second in tested


def test_a_tile_larger_than_2_gib_does_not_keep_the_store_from_opening() -> None:
    tested = TileCatalogue()
    loaded, added = (TileId(4, x, 0, TileSource.IMPORTED) for x in (0, 1))
    large = 3_000_000_000
    facts = [
        TileMetadataPersistent.of(
            TileMetadata(
                tile_id=tile_id,
                captured_at=NOW,
                content_sha256="0" * 64,
                disk_bytes=large,
                ground_sample_distance=1.0,
            ),
            created_at=NOW,
        )
        for tile_id in (loaded, added)
    ]
    tested.load(facts[:1])
    tested.add(facts[1])
    tested.snapshot()
    assert tested.get(loaded) == tested.get(added) == CatalogueEntry(NOW, large)
