"""Migrations on a real server, downwards: rows as before, or a refusal that changes nothing."""

from __future__ import annotations

import pytest
from old_databases import (
    HASH,
    HEAD,
    REVISIONS,
    ROWS_OF_0002,
    ROWS_OF_0005,
    ROWS_OF_0009,
    ROWS_OF_0011,
    execute,
    fill,
    revision_of,
    select,
    tables,
)
from reverted_migrations import revert_migrations

from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.domain.errors import TileCacheError

POLYGON_SECTOR = """
    INSERT INTO sector_classifications VALUES (
        'triangle', 'active_conflict',
        '{"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 2]]]}'
    )
"""


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_are_as_before_after_going_up_and_back_down(empty_database: str, revision: str) -> None:
    fill(empty_database, revision)
    before = tables(empty_database)
    apply_migrations(empty_database)
    assert revert_migrations(empty_database, revision) == REVISIONS[: REVISIONS.index(revision) : -1]
    assert revision_of(empty_database) == revision
    assert tables(empty_database) == before
    apply_migrations(empty_database)


def test_a_downgraded_tile_is_called_stale_at_the_first_revision(empty_database: str) -> None:
    fill(empty_database, "0001")
    apply_migrations(empty_database)
    execute(empty_database, "UPDATE tiles SET freshness_status = 'downgraded' WHERE id = 1")
    revert_migrations(empty_database, "0001")
    assert select(empty_database, "SELECT freshness_status FROM tiles WHERE id = 1") == [
        {"freshness_status": "stale"}
    ]


@pytest.mark.parametrize(
    ("use", "revision", "named"),
    [
        (
            f"""
            WITH replaced AS (
                UPDATE tiles SET content_sha256 = '{HASH}' WHERE id = 2 RETURNING tile_uuid, content_sha256
            )
            INSERT INTO unsettled_replacements SELECT * FROM replaced
            """,
            "0011",
            "replacements are not settled; rows: 1",
        ),
        (ROWS_OF_0011[0], "0010", "datasets would be lost; rows: 1"),
        (ROWS_OF_0011[1], "0010", "datasets would be lost; rows: 1"),
        (POLYGON_SECTOR, "0008", "sectors that are no boxes would be lost; rows: 1"),
        (ROWS_OF_0005[0], "0004", "the upload ledger would be lost; rows: 1"),
        ("UPDATE tiles SET pinned = true WHERE id = 1", "0003", "pins would be lost; rows: 1"),
        ("UPDATE tiles SET voting_status = 'upload_giveup'", "0002", "upload_giveup would be lost; rows: 4"),
        (
            "UPDATE tiles SET upload_attempts = 1 WHERE id = 2",
            "0002",
            "counted upload attempts would be lost; rows: 1",
        ),
        (
            f"UPDATE tiles SET content_sha256 = '{HASH}' WHERE id = 2",
            "0001",
            "content or upload would be lost; rows: 1",
        ),
        (
            "UPDATE tiles SET uploaded_at = now() WHERE id = 2",
            "0001",
            "content or upload would be lost; rows: 1",
        ),
        (ROWS_OF_0009[0], "0001", "boxes of sectors would be lost; rows: 1"),
        (ROWS_OF_0002[2], "0001", "rules that differ .* would be lost; rows: 1"),
        ("SELECT 1", "base", "table tiles would be lost; rows: 4"),
    ],
)
def test_a_way_down_that_would_lose_something_is_refused_and_nothing_changes(
    empty_database: str, use: str, revision: str, named: str
) -> None:
    fill(empty_database, "0001")
    apply_migrations(empty_database)
    execute(empty_database, use)
    before = tables(empty_database)
    with pytest.raises(TileCacheError, match=named):
        revert_migrations(empty_database, revision)
    assert revision_of(empty_database) == HEAD
    assert tables(empty_database) == before


def test_an_empty_database_goes_all_the_way_down(empty_database: str) -> None:
    apply_migrations(empty_database)
    revert_migrations(empty_database, "base")
    assert tables(empty_database) == {}
