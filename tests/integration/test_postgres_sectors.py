"""Sectors and freshness rules in a real database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.sector_store import PostgresSectorStore
from aerotile.domain.errors import ConfigurationError, StoreUnavailableError, TileMetadataError
from aerotile.domain.values.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import MultiPolygon, Polygon, corners_of
from aerotile.domain.values.tile_grid import Bbox

FRONT = SectorBoundary("front", SectorClassification.ACTIVE_CONFLICT, Bbox(48.1, 37.0, 49.2, 38.9))
REAR = SectorBoundary("Rear, 'west' \u2192 100 %", SectorClassification.STABLE_REAR, Bbox(-90, -180, 90, 180))


@pytest.fixture
def store(migrated_database: str) -> Iterator[PostgresSectorStore]:
    with Database(migrated_database) as database:
        yield PostgresSectorStore(database)


def test_a_new_database_has_no_sectors_and_the_seeded_rules(store: PostgresSectorStore) -> None:
    assert store.sectors() == ()
    assert store.rules() == SEEDED_RULES


def test_sectors_come_back_as_they_were_given_ordered_by_id(store: PostgresSectorStore) -> None:
    store.replace_sectors([FRONT, REAR])
    assert store.sectors() == (REAR, FRONT)


def test_shapes_come_back_to_the_last_bit(store: PostgresSectorStore) -> None:
    third = 1 / 3
    triangle = Polygon([[(third, 0.1), (1e-12, 48.1), (-179.99999999999997, 5e-324)]])
    like_a_box = Polygon([corners_of(FRONT.bbox)])
    holed = Polygon([corners_of(FRONT.bbox), [(37.5, 48.5), (38, 48.5), (38, 49)]])
    shapes = (triangle, like_a_box, holed, MultiPolygon([triangle, holed]), Bbox(third, 0.1, third, 0.1))
    given = [SectorBoundary(f"{n}", FRONT.classification, shape) for n, shape in enumerate(shapes)]
    store.replace_sectors(given)
    assert list(store.sectors()) == given


def test_new_sectors_take_the_place_of_all_others(store: PostgresSectorStore) -> None:
    store.replace_sectors([FRONT])
    store.replace_sectors([REAR])
    assert store.sectors() == (REAR,)
    store.replace_sectors([])
    assert store.sectors() == ()


def test_two_sectors_of_one_id_are_refused_and_nothing_changes(store: PostgresSectorStore) -> None:
    store.replace_sectors([REAR])
    twice = [FRONT, SectorBoundary("front", SectorClassification.STABLE_REAR, FRONT.bbox)]
    with pytest.raises(ValueError, match="'front' occurs twice"):
        store.replace_sectors(twice)
    assert store.sectors() == (REAR,)


def test_a_text_that_the_database_cannot_hold_is_refused_and_nothing_changes(
    store: PostgresSectorStore,
) -> None:
    store.replace_sectors([REAR])
    with pytest.raises(TileMetadataError):
        store.replace_sectors([SectorBoundary("a\x00b", REAR.classification, REAR.bbox)])
    assert store.sectors() == (REAR,)


def test_replacements_at_once_leave_one_of_them_whole(store: PostgresSectorStore) -> None:
    def sectors_of(author: int) -> list[SectorBoundary]:
        return [SectorBoundary(f"{author}-{n}", FRONT.classification, FRONT.bbox) for n in range(5)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda author: store.replace_sectors(sectors_of(author)), range(24)))
    found = store.sectors()
    assert list(found) == sectors_of(int(found[0].sector_id.split("-")[0]))


def test_a_stable_rear_without_a_shape_is_left_out_with_a_warning(
    migrated_database: str, store: PostgresSectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.replace_sectors([FRONT])
    with psycopg.connect(migrated_database) as connection:
        connection.execute("INSERT INTO sector_classifications VALUES ('old', 'stable_rear')")
    with caplog.at_level(logging.WARNING, logger="aerotile.sectors"):
        assert store.sectors() == (FRONT,)
    assert caplog.messages == ["1 sector left out, without a shape (first: old); load the sectors again"]
    store.replace_sectors([FRONT])
    caplog.clear()
    assert store.sectors() == (FRONT,)
    assert caplog.messages == []


def test_a_sector_in_active_conflict_without_a_shape_is_refused_until_sectors_are_loaded(
    migrated_database: str, store: PostgresSectorStore
) -> None:
    with psycopg.connect(migrated_database) as connection:
        connection.execute("INSERT INTO sector_classifications VALUES ('a rear', 'stable_rear')")
        connection.execute("INSERT INTO sector_classifications VALUES ('old front', 'active_conflict')")
    with pytest.raises(ConfigurationError, match=r"1 sector in active conflict .*'old front'") as refusal:
        store.sectors()
    assert "sectors load" in str(refusal.value.remedy)
    store.replace_sectors([FRONT])
    assert store.sectors() == (FRONT,)


def test_an_impossible_shape_in_the_database_is_one_clear_line(
    migrated_database: str, store: PostgresSectorStore
) -> None:
    with psycopg.connect(migrated_database) as connection:
        connection.execute(
            """INSERT INTO sector_classifications VALUES
            ('a', 'stable_rear', '{"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}')"""
        )
    with pytest.raises(StoreUnavailableError, match="impossible sector 'a': a ring has at least three"):
        store.sectors()


def test_an_impossible_rule_in_the_database_is_one_clear_line(
    migrated_database: str, store: PostgresSectorStore
) -> None:
    with psycopg.connect(migrated_database) as connection:
        connection.execute("ALTER TABLE tile_freshness_rules DROP CONSTRAINT ck_tile_freshness_rules_max_age")
        connection.execute("UPDATE tile_freshness_rules SET max_age = interval '-1 day'")
    with pytest.raises(StoreUnavailableError, match="impossible freshness rule: max_age must be"):
        store.rules()
