"""Deadlocks and serialization failures by transactions that really compete: told truly, and gone on repeat.

`TEST_DATABASE_CONFLICTS` says how often each comes (default 1).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

import attrs
import psycopg
import pytest
from audited_store import BASE, Auditor, eventually, imported, tile
from fault_tally import FaultTally

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.sections import LruConfig
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.domain.errors import CommitOutcomeUnknownError, DuplicateTileError, StoreUnavailableError
from aerotile.domain.values.tiles import TileId, VotingStatus

ROUNDS = int(os.environ.get("TEST_DATABASE_CONFLICTS", "1"))

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + 10 * ROUNDS)]


@attrs.frozen
class Site:
    """A store, and another program that takes the same locks in another order."""

    runtime: Runtime
    auditor: Auditor
    rival: psycopg.Connection


@pytest.fixture
def site(migrated_database: str, tmp_path: Path) -> Iterator[Site]:
    config = AerotileConfig(
        root=tmp_path,
        database=DatabaseConfig(dsn=Secret(migrated_database), pool_max_size=2),
        lru=LruConfig(flush_interval_s=3600),
    )
    with Runtime(config) as runtime, psycopg.connect(migrated_database) as rival:
        for outcome in runtime.tile_store.write_tiles([tile(tile_id) for tile_id in BASE]):
            assert outcome.stored is not None
        # The one whose patience ends first is the victim: never the rival.
        rival.execute("SET deadlock_timeout = '10min'")
        rival.commit()
        yield Site(runtime, Auditor(migrated_database, config.tiles_folder), rival)


def add_rival_row(rival: psycopg.Connection, tile_id: TileId) -> None:
    """Insert the row of a tile, which waits for whoever else inserts it."""
    rival.execute(
        """
        INSERT INTO tiles (
            zoom_level, x, y, source, captured_at, freshness_status, created_at, tile_uuid, content_sha256,
            disk_bytes, tile_size_pixels, ground_sample_distance, location_hash
        )
        SELECT zoom_level, %s, y, source, captured_at, freshness_status, created_at, %s, content_sha256,
            disk_bytes, tile_size_pixels, ground_sample_distance, %s
        FROM tiles WHERE tile_uuid = %s
        """,
        (tile_id.x, tile_id.tile_uuid, tile_id.location_hash, BASE[0].tile_uuid),
    )


def lock_row(rival: psycopg.Connection, tile_uuid: UUID) -> None:
    rival.execute("SELECT FROM tiles WHERE tile_uuid = %s FOR UPDATE", (tile_uuid,))


def lock_total(rival: psycopg.Connection) -> None:
    rival.execute("SELECT FROM disk_usage FOR UPDATE")


@attrs.frozen
class Deadlock:
    """What the rival locks before our change, and wants once ours waits for that; ours already has it."""

    takes: Callable[[psycopg.Connection, int], object]
    wants: Callable[[psycopg.Connection, int], object]
    change: Callable[[Runtime, int], object]
    is_made: Callable[[Mapping[str, str], int], bool]


def write_batch(runtime: Runtime, x: int) -> None:
    for outcome in runtime.tile_store.write_tiles([tile(imported(x + place)) for place in range(3)]):
        if outcome.error is not None:
            raise outcome.error


DEADLOCKS = {
    "write": Deadlock(
        lambda rival, x: lock_total(rival),
        lambda rival, x: add_rival_row(rival, imported(x)),
        lambda runtime, x: runtime.tile_store.write_tile(*tile(imported(x))),
        lambda rows, x: str(imported(x)) in rows,
    ),
    "batch": Deadlock(
        lambda rival, x: lock_total(rival),
        lambda rival, x: add_rival_row(rival, imported(x + 1)),
        write_batch,
        lambda rows, x: str(imported(x + 1)) in rows,
    ),
    "delete": Deadlock(
        lambda rival, x: lock_total(rival),
        lambda rival, x: lock_row(rival, BASE[x // 10 % 10].tile_uuid),
        lambda runtime, x: runtime.tile_store.delete_tile(BASE[x // 10 % 10]),
        lambda rows, x: str(BASE[x // 10 % 10]) not in rows,
    ),
}


@pytest.mark.parametrize("kind", DEADLOCKS)
def test_the_victim_of_a_deadlock_changes_nothing_and_succeeds_on_repeat(
    kind: str, site: Site, fault_tally: FaultTally
) -> None:
    deadlock = DEADLOCKS[kind]
    rounds = min(ROUNDS, len(BASE))
    for x in range(1000, 1000 + 10 * rounds, 10):
        raised: list[BaseException] = []

        def change(x: int = x, raised: list[BaseException] = raised) -> None:
            try:
                deadlock.change(site.runtime, x)
            except BaseException as error:  # noqa: BLE001 # told to the test's own thread
                raised.append(error)

        deadlock.takes(site.rival, x)
        ours = threading.Thread(target=change, daemon=True)
        ours.start()
        eventually("ours does not wait", lambda: bool(site.auditor.ask(WAITING)))
        deadlock.wants(site.rival, x)
        ours.join()
        site.rival.rollback()

        (refusal,) = raised
        assert isinstance(refusal, StoreUnavailableError)
        assert not isinstance(refusal, CommitOutcomeUnknownError)
        assert "deadlock detected" in str(refusal)
        audit = site.auditor.audit()
        assert not deadlock.is_made(audit.rows, x)
        assert not (audit.lost | audit.torn | audit.leaked)
        assert audit.total_is_exact
        site.auditor.expect_nothing_left_behind()

        deadlock.change(site.runtime, x)
        audit = site.auditor.audit()
        assert deadlock.is_made(audit.rows, x)
        assert not (audit.lost | audit.torn | audit.leaked)
        assert audit.total_is_exact
    fault_tally.add(f"deadlock: {kind}", rounds)


WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'
"""


@pytest.mark.parametrize("some_are_there", [False, True], ids=["all are new", "some are there"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_batches_take_their_tiles_in_the_order_of_their_uuids_however_they_are_given(
    backwards: bool, some_are_there: bool, site: Site, fault_tally: FaultTally
) -> None:
    batch = sorted((imported(x) for x in range(2000, 2005)), key=lambda tile_id: tile_id.tile_uuid.int)
    there, first, held, last, _ = batch
    if some_are_there:
        site.runtime.tile_store.write_tile(*tile(there))
    site.rival.execute("SET lock_timeout = '30s'")  # a deadlock would take its place
    add_rival_row(site.rival, held)
    outcomes: list[BaseException | None] = []

    def write() -> None:
        given = reversed(batch) if backwards else batch
        outcomes.extend(o.error for o in site.runtime.tile_store.write_tiles([tile(t) for t in given]))

    ours = threading.Thread(target=write, daemon=True)
    ours.start()
    eventually("the batch does not wait", lambda: bool(site.auditor.ask(WAITING)))
    add_rival_row(site.rival, last)  # does not wait: the batch has not come to it
    site.rival.execute("SET lock_timeout = '200ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        add_rival_row(site.rival, first)
    site.rival.rollback()
    ours.join()
    refused = [error for error in outcomes if error]
    assert len(refused) == some_are_there
    assert all(isinstance(error, DuplicateTileError) for error in refused)
    audit = site.auditor.audit()
    assert {str(tile_id) for tile_id in batch} <= audit.rows.keys()
    assert not (audit.lost | audit.torn | audit.leaked)
    fault_tally.add("batches that share tiles", 1)


def test_reads_whose_flush_is_the_victim_of_a_deadlock_are_noted_by_the_next(
    site: Site, fault_tally: FaultTally
) -> None:
    runtime = site.runtime
    in_order = site.auditor.ask("SELECT x FROM tiles ORDER BY id")
    first, *_, last = (imported(int(str(x))) for (x,) in in_order)
    before = runtime.metadata_store.get_by_id(first)
    assert before is not None
    for tile_id in (first, last):
        runtime.tile_store.read_tile_pixels(tile_id).close()
    lock_row(site.rival, last.tile_uuid)
    flush = threading.Thread(target=runtime.lru_flusher.do_now, daemon=True)
    flush.start()
    eventually("the flush does not wait", lambda: bool(site.auditor.ask(WAITING)))
    lock_row(site.rival, first.tile_uuid)
    flush.join()
    site.rival.rollback()
    assert runtime.metadata_store.get_by_id(first) == before
    runtime.lru_flusher.do_now()
    for tile_id in (first, last):
        after = runtime.metadata_store.get_by_id(tile_id)
        assert after is not None
        assert after.accessed_at > before.accessed_at
    fault_tally.add("deadlock: flush of access times", 1)


def test_a_database_that_serializes_by_default_refuses_no_writer_that_competes(
    migrated_database: str, tmp_path: Path, fault_tally: FaultTally
) -> None:
    with psycopg.connect(migrated_database, autocommit=True) as connection:
        connection.execute(
            f'ALTER DATABASE "{connection.info.dbname}" SET default_transaction_isolation = serializable'
        )
    config = AerotileConfig(root=tmp_path, database=DatabaseConfig(dsn=Secret(migrated_database)))
    count = 20 * ROUNDS
    failures: list[BaseException] = []
    with Runtime(config) as runtime:
        runtime.tile_store.write_tile(*tile(imported(0)))

        def write(number: int) -> None:
            try:
                for x in range(count):
                    runtime.tile_store.write_tile(*tile(imported(1 + 4 * x + number)))
                    # All four vote on the same tile: each must see what the one before it did.
                    runtime.metadata_store.update_voting_status(imported(0), VotingStatus.TRUSTED)
                    runtime.metadata_store.increment_upload_attempts(imported(0))
            except BaseException as error:  # noqa: BLE001 # told to the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=write, args=(number,), daemon=True) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        counted = runtime.metadata_store.get_by_id(imported(0))
        assert counted is not None
        assert counted.upload_attempts == 4 * count
    audit = Auditor(migrated_database, config.tiles_folder).audit()
    assert len(audit.rows) == 1 + 4 * count
    assert not (audit.lost | audit.torn | audit.leaked)
    assert audit.total_is_exact
    fault_tally.add("writers under serializable", 4 * count)
