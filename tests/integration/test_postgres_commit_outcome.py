"""A connection that is lost around COMMIT: the write says what is true of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from cut_connections import NOW, Cut, Proxy, described

from aerotile.adapters.postgres import transactions
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import CommitOutcomeUnknownError, StoreUnavailableError


@pytest.fixture
def proxy(migrated_database: str) -> Iterator[Proxy]:
    proxy = Proxy(migrated_database)
    yield proxy
    proxy.close()


@pytest.fixture
def rows(proxy: Proxy) -> Iterator[PostgresTileRows]:
    with Database(proxy.dsn) as database:
        yield PostgresTileRows(database, disk_budget_bytes=100_000)


@pytest.fixture
def straight(migrated_database: str) -> Iterator[PostgresTileMetadataStore]:
    """The same rows, not by way of the proxy."""
    with Database(migrated_database) as database:
        yield PostgresTileMetadataStore(database)


def write_one(rows: PostgresTileRows, before_commit: Callable[[], None]) -> None:
    with rows.insert(described(0), NOW) as row:
        row.finish_insert()
        before_commit()
        row.commit()


def write_batch(rows: PostgresTileRows, before_commit: Callable[[], None]) -> None:
    with rows.insert_many([described(x) for x in range(3)], NOW) as batch:
        batch.finish_insert()
        before_commit()
        batch.commit()


def end_every_other_session(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            """
            SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
            """
        )


WRITES = pytest.mark.parametrize("write", [write_one, write_batch])
Write = Callable[[PostgresTileRows, Callable[[], None]], None]


def cutting(proxy: Proxy, cut: Cut) -> Callable[[], None]:
    def arm() -> None:
        proxy.cut = cut

    return arm


@WRITES
def test_a_commit_whose_answer_was_lost_counts_as_done(
    write: Write, proxy: Proxy, rows: PostgresTileRows, straight: PostgresTileMetadataStore
) -> None:
    write(rows, cutting(proxy, Cut.AFTER))
    proxy.cut = None
    stored = list(rows.committed())
    assert described(0).tile_id in {tile.tile_id for tile in stored}
    assert straight.total_disk_bytes() == sum(tile.disk_bytes for tile in stored) > 0


@WRITES
@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.SWALLOWED])
def test_a_commit_that_did_not_arrive_is_certainly_not_done(
    write: Write, cut: Cut, proxy: Proxy, rows: PostgresTileRows, straight: PostgresTileMetadataStore
) -> None:
    with pytest.raises(StoreUnavailableError, match="connection was lost") as refused:
        write(rows, cutting(proxy, cut))
    assert not isinstance(refused.value, CommitOutcomeUnknownError)
    proxy.cut = None
    assert list(rows.committed()) == []
    assert straight.total_disk_bytes() == 0
    write(rows, lambda: None)
    assert straight.total_disk_bytes() == sum(tile.disk_bytes for tile in rows.committed()) > 0


@pytest.mark.parametrize("cut", list(Cut))
def test_a_commit_that_nobody_can_be_asked_about_is_unknown_in_bounded_time(
    cut: Cut, proxy: Proxy, rows: PostgresTileRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "OUTCOME_WAIT_S", 0.5)
    proxy.gone_after_cut = True
    with pytest.raises(CommitOutcomeUnknownError, match="can't be known yet"):
        write_one(rows, cutting(proxy, cut))


@WRITES
def test_a_session_that_was_ended_between_file_and_commit_is_certainly_not_committed(
    write: Write, migrated_database: str, straight: PostgresTileMetadataStore
) -> None:
    with Database(migrated_database) as database:
        rows = PostgresTileRows(database)
        with pytest.raises(StoreUnavailableError, match="connection was lost") as refused:
            write(rows, lambda: end_every_other_session(migrated_database))
        assert not isinstance(refused.value, CommitOutcomeUnknownError)
        assert straight.total_disk_bytes() == 0
        write(rows, lambda: None)
        assert straight.total_disk_bytes() > 0


@WRITES
def test_a_transaction_number_that_a_crashed_server_gave_to_another_proves_nothing(
    write: Write, migrated_database: str, straight: PostgresTileMetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight.insert_metadata(described(9))
    with psycopg.connect(migrated_database) as connection:
        (other,) = connection.execute("SELECT xmin::text FROM tiles").fetchall()

    def end_the_session_and_reuse_its_number() -> None:
        monkeypatch.setattr(transactions.TileTransaction, "xid", property(lambda _: other[0]), raising=False)
        end_every_other_session(migrated_database)

    with Database(migrated_database) as database:
        rows = PostgresTileRows(database)
        with pytest.raises(StoreUnavailableError, match="connection was lost") as refused:
            write(rows, end_the_session_and_reuse_its_number)
        assert not isinstance(refused.value, CommitOutcomeUnknownError)
        assert [tile.tile_id.x for tile in rows.committed()] == [9]


def test_a_transaction_number_of_the_future_was_never_committed(
    migrated_database: str, straight: PostgresTileMetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_the_session_and_lose_its_number() -> None:
        monkeypatch.setattr(
            transactions.TileTransaction, "xid", property(lambda _: str(1 << 30)), raising=False
        )
        end_every_other_session(migrated_database)

    with Database(migrated_database) as database:
        with pytest.raises(StoreUnavailableError, match="connection was lost") as refused:
            write_one(PostgresTileRows(database), end_the_session_and_lose_its_number)
        assert not isinstance(refused.value, CommitOutcomeUnknownError)


def test_a_row_whose_removal_was_committed_unheard_leaves_its_file_to_the_next_open(
    proxy: Proxy, rows: PostgresTileRows, straight: PostgresTileMetadataStore
) -> None:
    write_one(rows, lambda: None)
    proxy.cut = Cut.AFTER
    with pytest.raises(CommitOutcomeUnknownError), rows.removing(described(0).tile_id):
        pytest.fail("the file could be unlinked without the tile's lock")
    assert straight.get_by_id(described(0).tile_id) is None
    assert straight.total_disk_bytes() == 0


def test_a_row_whose_removal_did_not_arrive_stays(
    proxy: Proxy, rows: PostgresTileRows, straight: PostgresTileMetadataStore
) -> None:
    write_one(rows, lambda: None)
    proxy.cut = Cut.BEFORE
    with pytest.raises(StoreUnavailableError) as refused, rows.removing(described(0).tile_id):
        pytest.fail("a removal that was not committed went on")
    assert not isinstance(refused.value, CommitOutcomeUnknownError)
    assert straight.get_by_id(described(0).tile_id) is not None
    proxy.cut = None
    with rows.removing(described(0).tile_id) as freed:
        assert freed == 10


def test_a_connection_that_is_lost_while_a_file_is_unlinked_is_no_matter_once_the_row_is_gone(
    migrated_database: str, straight: PostgresTileMetadataStore
) -> None:
    with Database(migrated_database) as database:
        rows = PostgresTileRows(database)
        write_one(rows, lambda: None)
        with rows.removing(described(0).tile_id) as freed:
            assert freed == 10
            end_every_other_session(migrated_database)
        assert straight.get_by_id(described(0).tile_id) is None
        write_one(rows, lambda: None)


def test_a_row_that_a_trigger_of_somebody_else_leaves_out_is_an_error_of_the_store(
    migrated_database: str, straight: PostgresTileMetadataStore
) -> None:
    with psycopg.connect(migrated_database) as connection:
        connection.execute(
            "CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )
        connection.execute(
            "CREATE TRIGGER leave_out BEFORE INSERT ON tiles FOR EACH ROW EXECUTE FUNCTION leave_out()"
        )
    refused = pytest.raises(StoreUnavailableError, match="left its row out")
    with Database(migrated_database) as database, refused:
        write_one(PostgresTileRows(database), lambda: pytest.fail("a file was placed for no row"))
    assert straight.get_by_id(described(0).tile_id) is None
