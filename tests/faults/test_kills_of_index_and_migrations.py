"""kill -9 before every system call of an index rebuild, an index rollback and a migration.

TEST_KILLS sets how often a migration is killed (default 10); `all`: once before every call.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fault_tally import FaultTally
from nursery import EVERY_CALL, Ending, Nursery, kill_at_every_moment, moments
from reverted_migrations import revert_migrations
from store_facts import assert_place_order_is_whole
from store_sessions import advisory_locks, await_end_of_sessions, other_sessions

from aerotile.adapters.postgres.migrate import apply_migrations

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if EVERY_CALL else 300)]

FILES = {"tiles.index", "tiles.meta.json"}
NAME = re.compile(r"[0-9]{6}")


def model_of_generation(folder: Path) -> str:
    """The model that a whole generation was built with; its hashes agree with its files."""
    lines = (folder / "tiles.index.sha256").read_text().splitlines()
    hashes = {name: sha256 for sha256, name in (line.split("  ") for line in lines)}
    assert hashes == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    others = {"tiles.index.sha256", "tiles.rows", "tiles.descriptors"}
    assert {entry.name for entry in folder.iterdir()} == FILES | others
    facts = json.loads((folder / "tiles.meta.json").read_text())
    assert_place_order_is_whole(folder, facts)
    return str(facts["descriptor_model"])


def look_at_index(root: Path) -> tuple[str | None, list[str]]:
    """The model of the generation in use, and what is left of those that died; all others are whole."""
    folder = root / "generations"
    entries = sorted(folder.iterdir()) if folder.exists() else []
    models = {entry.name: model_of_generation(entry) for entry in entries if NAME.fullmatch(entry.name)}
    left = [entry.name for entry in entries if entry.name not in models]
    left += [entry.name for entry in root.glob(".current*")]
    if not (root / "current").exists():
        return None, left
    return models[(root / "current").read_text().removesuffix("\n")], left


@pytest.mark.parametrize("operation", ["rebuild", "rollback"])
def test_an_index_that_is_changed_and_killed_before_any_call_is_the_old_or_the_new_one(
    nursery: Nursery, fault_tally: FaultTally, tmp_path: Path, operation: str
) -> None:
    root = tmp_path / "index"
    number = 0
    in_use: set[str | None] = {None}

    def live(kill_at: int | None) -> Ending:
        nonlocal number, in_use
        number += 1
        opened = nursery.begin(operation, number, root=str(tmp_path))
        model, left = look_at_index(root)
        fault_tally.add(f"kill at a system call: index {operation}", 0, leaked=max(0, len(left) - 2))
        # What a dead builder left is not in anybody's way, and the next build removes it.
        assert len(left) <= 2
        assert model in in_use
        assert opened["model"] == model
        assert model is None or opened["found"] == 5
        ready = nursery.prepare()
        model, left = look_at_index(root)
        if operation == "rollback":
            assert (model, left) == (ready["before"], [])
        ending = nursery.kill_at(kill_at)
        in_use = {ready["after"]} if ending.done else {ready["after"], model}
        if ending.done:
            assert look_at_index(root) == (ready["after"], [])
        with (root / ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fault_tally.add(f"kill at a system call: index {operation}", ending.reached is not None)
        return ending

    kill_at_every_moment(live)


SELECT_OF_0001 = """
    SELECT id, zoom_level, x, y, source, flight_id, captured_at, voting_status, tile_size_pixels,
        ground_sample_distance, created_at, freshness_status
    FROM tiles ORDER BY id
"""
SELECT_SCHEMA = """
    SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ORDER BY 1
"""
INSERT_TILES = """
    INSERT INTO tiles (
        zoom_level, x, y, source, flight_id, captured_at, voting_status, tile_size_pixels,
        ground_sample_distance, created_at
    )
    SELECT 18, number, 7, source, flight_id, '2025-01-02T03:04:05Z', voting_status, 256, 0.59, '2025-06-01Z'
    FROM generate_series(1, 50) AS number, (
        VALUES ('imported', NULL::uuid, NULL), ('onboard', '00000000-0000-0000-0000-000000000007', 'trusted')
    ) AS kinds (source, flight_id, voting_status)
"""


@contextmanager
def database_like(server: Any, template: str | None) -> Iterator[str]:
    name = server.create_database(template=template)
    try:
        yield name
    finally:
        server.drop_database(name)


def select(connection: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def revision_of(connection: psycopg.Connection[Any]) -> str | None:
    if select(connection, "SELECT to_regclass('alembic_version')") == [(None,)]:
        return None
    rows = select(connection, "SELECT version_num FROM alembic_version")
    return rows[0][0] if rows else None


@pytest.mark.parametrize("before", [None, "0001", "0003"])
def test_a_migration_that_is_killed_before_any_call_keeps_every_row_and_can_be_run_again(
    nursery: Nursery,
    fault_tally: FaultTally,
    postgres_server: Any,
    migrated_database: str,
    before: str | None,
) -> None:
    with psycopg.connect(migrated_database) as connection:
        schema, head = select(connection, SELECT_SCHEMA), revision_of(connection)
    kind = f"kill at a system call: migration from {before or 'nothing'}"
    kills = 0

    def live(template: str, rows: list[tuple[Any, ...]], number: int, kill_at: int | None) -> Ending:
        with database_like(postgres_server, template) as name:
            dsn = postgres_server.dsn_of(name)
            nursery.begin("migration", number, dsn=dsn)
            ending = nursery.kill_at(kill_at)
            with psycopg.connect(dsn, autocommit=True) as connection:
                await_end_of_sessions(connection, other_sessions(connection))
                assert revision_of(connection) in ({head} if ending.done else {before, head})
                if before is not None:
                    kept = select(connection, SELECT_OF_0001)
                    fault_tally.add(kind, 0, lost=len(rows) - len(kept))
                    assert kept == rows
                assert advisory_locks(connection) == 0
            assert apply_migrations(dsn).after == head
            with psycopg.connect(dsn) as connection:
                assert select(connection, SELECT_OF_0001) == rows
                assert select(connection, SELECT_SCHEMA) == schema
        return ending

    with database_like(postgres_server, None) as template:
        dsn = postgres_server.dsn_of(template)
        rows: list[tuple[Any, ...]] = []
        if before is not None:
            apply_migrations(dsn)
            revert_migrations(dsn, before)
            with psycopg.connect(dsn) as connection:
                connection.execute(INSERT_TILES)
                rows = select(connection, SELECT_OF_0001)
        calls = live(template, rows, 0, None).calls
        for number, moment in enumerate(moments(calls, random.Random(before)), start=1):
            ending = live(template, rows, number, moment)
            kills += ending.reached is not None
            fault_tally.add(kind, ending.reached is not None)
    assert kills > 0
