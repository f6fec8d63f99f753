"""The compiled catalogue beyond its contract: memory, many rows at once, and what it does with nonsense."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timezone
from itertools import product
from uuid import UUID

import attrs
import numpy as np
import pytest

from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.domain.values.catalogue_entries import CatalogueColumns
from aerotile.domain.values.tile_grid import Bbox, tile_bbox
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from aerotile.ext import CompiledCatalogueMatches, CompiledTileCatalogue

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
ZOOM = 8
FREE = 50_000
"""Bytes that a catalogue may take however few its tiles are."""


def row(x: int, y: int, source: TileSource = TileSource.IMPORTED) -> TileMetadataPersistent:
    metadata = example_metadata(TileId(ZOOM + 4, x, y, source), b"a", captured_at=NOW)
    return TileMetadataPersistent.of(metadata, created_at=NOW)


def all_of_a_zoom(seed: int = 0) -> CatalogueColumns:
    """Every tile of a zoom, in any order: 65,536, more than a query takes without giving up the GIL."""
    variants = VariantTable()
    side = range(1 << ZOOM)
    keys = np.array(
        [encode_tile_key(TileId(ZOOM, x, y, TileSource.IMPORTED), variants) for x in side for y in side]
    )
    chance = np.random.default_rng(seed)
    chance.shuffle(keys)
    count = len(keys)
    return CatalogueColumns(
        keys,
        chance.integers(0, 10**15, count),
        chance.integers(0, 10**15, count),
        chance.integers(0, 10**6, count),
        np.full(count, 8, np.uint8),
        chance.integers(0, 256, (count, 32)).astype(np.uint8),
    )


@pytest.fixture(scope="module")
def columns() -> CatalogueColumns:
    return all_of_a_zoom()


@pytest.fixture
def full(columns: CatalogueColumns) -> CompiledTileCatalogue:
    catalogue = CompiledTileCatalogue()
    catalogue.load(columns, VariantTable())
    return catalogue


def test_a_tile_takes_at_most_64_bytes_after_a_load_and_after_changes(
    full: CompiledTileCatalogue,
) -> None:
    assert sys.getsizeof(full) <= 64 * len(full) + FREE
    chance = np.random.default_rng(1)
    scattered = chance.integers(0, 1 << ZOOM + 4, (40_000, 2)).tolist()
    for x, y in scattered:
        full.add(row(x, y))
    assert sys.getsizeof(full) <= 64 * len(full) + FREE
    for x, y in product(range(100), range(200)):
        full.add(row(x, y, TileSource.SATELLITE_PROVIDER))
    assert sys.getsizeof(full) <= 64 * len(full) + FREE
    for x, y in scattered:
        full.remove(row(x, y).tile_id)
    assert sys.getsizeof(full) <= 64 * len(full) + FREE
    full.load(all_of_a_zoom().at(slice(0)), VariantTable())
    assert len(full) == 0
    assert sys.getsizeof(full) <= FREE


@pytest.mark.parametrize(
    "bbox",
    [
        Bbox(-90, -180, 90, 180),
        Bbox(0, -180, 90, 180),
        Bbox(-90, 0.7, 90, 0.8),
        Bbox(0.7, -180, 0.8, 180),
        Bbox(-60, -100, 70, 120),
        tile_bbox(77, 99, ZOOM),
    ],
    ids=["the world", "the north", "one column", "one row", "most", "one tile and its neighbours"],
)
def test_a_query_over_many_blocks_finds_what_the_reference_finds(
    full: CompiledTileCatalogue, columns: CatalogueColumns, bbox: Bbox
) -> None:
    reference = MemoryTileCatalogue()
    reference.load(columns, VariantTable())
    found, expected = full.query_by_bbox(bbox, ZOOM), reference.query_by_bbox(bbox, ZOOM)
    assert np.array_equal(found.keys, expected.keys)
    assert found[:: max(1, len(found) // 50)] == expected[:: max(1, len(expected) // 50)]


def test_the_oldest_of_many_are_those_of_the_reference(
    full: CompiledTileCatalogue, columns: CatalogueColumns
) -> None:
    reference = MemoryTileCatalogue()
    reference.load(columns, VariantTable())
    for limit in (1, 1_000, 65_536, 10**9):
        assert full.lru_candidates(limit) == reference.lru_candidates(limit)


NONSENSE: list[Callable[[CompiledTileCatalogue], object]] = [
    lambda c: c.add(None),  # type: ignore[arg-type] # wrong types are what is tested, here and below
    lambda c: c.add(row(1, 1).tile_id),  # type: ignore[arg-type]
    lambda c: c.remove(None),  # type: ignore[arg-type]
    lambda c: c.remove("12/1/1"),  # type: ignore[arg-type]
    lambda c: c.get(TileId.__new__(TileId)),
    lambda c: c.captured_us(7),  # type: ignore[arg-type]
    lambda c: None in c,  # type: ignore[operator]
    lambda c: c.query_by_bbox(None, 3),  # type: ignore[arg-type]
    lambda c: c.query_by_bbox((0, 0, 1, 1), 3),  # type: ignore[arg-type]
    lambda c: c.query_by_bbox(Bbox.__new__(Bbox), 3),
    lambda c: c.note_accesses([5], [5]),  # type: ignore[list-item]
    lambda c: c.note_accesses([row(1, 1).tile_id], ["now"]),  # type: ignore[list-item]
    lambda c: c.note_accesses(None, None),  # type: ignore[arg-type]
    lambda c: c.lru_candidates(None),  # type: ignore[arg-type]
    lambda c: c.load(None, VariantTable()),  # type: ignore[arg-type]
    lambda c: c.load(all_of_a_zoom(), None),  # type: ignore[arg-type]
    lambda c: c.load([1, 2], VariantTable()),  # type: ignore[arg-type]
    lambda c: c.load(all_of_a_zoom(), VariantTable(), since="yesterday"),  # type: ignore[arg-type]
    lambda c: CompiledCatalogueMatches(bytes(71), ()),
    lambda c: CompiledCatalogueMatches(bytes(72 * 2), None),  # type: ignore[arg-type]
    lambda c: CompiledCatalogueMatches(b"\xff" * 72, ())[0],
    lambda c: CompiledCatalogueMatches(b"\xff" * 72, ()).tile_ids(),
    lambda c: CompiledCatalogueMatches(bytes(32) + b"\xff" * 40, ())[0],
]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_refused_and_changes_nothing(
    full: CompiledTileCatalogue, nonsense: Callable[[CompiledTileCatalogue], object]
) -> None:
    before = len(full), full.total_disk_bytes()
    with pytest.raises((TypeError, ValueError, AttributeError, KeyError)):
        nonsense(full)
    assert before[0] <= len(full) <= before[0] + 1  # of many rows, those before the nonsense may be in
    assert full.mark() > 0


def test_columns_whose_arrays_were_changed_after_their_check_are_refused() -> None:
    two = CatalogueColumns(
        np.array([encode_tile_key(TileId(3, x, 0, TileSource.IMPORTED), VariantTable()) for x in (1, 2)]),
        *(np.zeros(2, np.int64) for _ in range(3)),
        np.zeros(2, np.uint8),
        np.zeros((2, 32), np.uint8),
    )
    object.__setattr__(two, "flags", np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="changed while"):
        CompiledTileCatalogue().load(two, VariantTable())
    object.__setattr__(two, "flags", np.zeros(2, np.uint8))
    object.__setattr__(two, "content_sha256", np.zeros((2, 31), np.uint8))
    with pytest.raises(ValueError, match="changed while"):
        CompiledTileCatalogue().load(two, VariantTable())


def test_a_row_that_can_not_be_kept_leaves_the_others_alone() -> None:
    catalogue = CompiledTileCatalogue()
    catalogue.add(row(1, 1))
    broken = attrs.evolve(row(2, 2))
    object.__setattr__(broken, "content_sha256", "abc")
    with pytest.raises(ValueError, match="fromhex"):
        catalogue.add(broken)
    object.__setattr__(broken, "content_sha256", "ab" * 31)
    with pytest.raises(ValueError, match="SHA-256"):
        catalogue.add(broken)
    assert len(catalogue) == 1


def test_a_table_that_is_full_of_flights_refuses_one_more_and_keeps_the_rest() -> None:
    catalogue = CompiledTileCatalogue()
    table = VariantTable(tuple(UUID(int=number) for number in range(1, (1 << 14) - 1)))
    catalogue.load(all_of_a_zoom().at(slice(0)), table)
    one_more = TileId(ZOOM, 1, 1, TileSource.ONBOARD, UUID(int=2**100))
    known = TileId(ZOOM, 1, 1, TileSource.ONBOARD, table.flights[-1])
    metadata = example_metadata(known, b"a", captured_at=NOW)
    catalogue.add(TileMetadataPersistent.of(metadata, created_at=NOW))
    with pytest.raises(ValueError, match="at most"):
        catalogue.add(TileMetadataPersistent.of(attrs.evolve(metadata, tile_id=one_more), created_at=NOW))
    assert catalogue.get(known) is not None
    assert one_more not in catalogue
    assert len(catalogue) == 1
