"""The line to the database is cut at each message of a migration, of a new connection, and of the feed.

`TEST_DATABASE_CUTS` is as for the changes of tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import psycopg
import pytest
from audited_store import BASE, Auditor, eventually, imported, tile
from fault_tally import FaultTally
from wire_proxy import CUTS, Cut, CutAt, Sender, WireProxy, answers_to_commit, cuts_of

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.migrate import apply_migrations
from aerotile.adapters.postgres.tile_feed import TileFeed
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.domain.errors import CommitOutcomeUnknownError, StoreUnavailableError

if TYPE_CHECKING:
    from conftest import PostgresServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 if CUTS != "all" else 3600)]

TABLES = {
    "alembic_version",
    "datasets",
    "disk_usage",
    "sector_classifications",
    "tile_freshness_rules",
    "tiles",
    "unsettled_replacements",
    "uploads",
    "vote_cursors",
}


@contextmanager
def proxied(dsn: str) -> Iterator[WireProxy]:
    proxy = WireProxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()


def tables_of(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {str(table) for (table,) in found}


def migrate(server: PostgresServer, cut: CutAt | None) -> list[tuple[Sender, str]]:
    """Migrate an empty database while the line is cut, and the messages that there were."""
    name = server.create_database()
    dsn = server.dsn_of(name)
    raised: StoreUnavailableError | None = None
    try:
        with proxied(dsn) as proxy:
            proxy.cut(cut)
            try:
                apply_migrations(proxy.dsn)
            except StoreUnavailableError as error:
                raised = error
            heard = list(proxy.heard)
            assert proxy.has_cut.is_set() is (cut is not None)
            proxy.heal()
        tables = tables_of(dsn)
        if raised is None:
            assert tables == TABLES, cut
        elif isinstance(raised, CommitOutcomeUnknownError):
            assert tables in (set(), TABLES), (cut, raised)
        else:
            assert tables == set(), (cut, raised)
        apply_migrations(dsn)
        assert tables_of(dsn) == TABLES, cut
    finally:
        server.drop_database(name)
    return heard


def test_a_migration_whose_line_is_cut_is_done_in_full_or_not_at_all(
    postgres_server: PostgresServer, fault_tally: FaultTally
) -> None:
    # On a silent line it would wait, as it waits as long as it takes for others to leave the tables.
    heard = migrate(postgres_server, None)
    cuts = [*answers_to_commit(heard), *cuts_of(heard, "migration", silent=False)]
    for cut in cuts:
        migrate(postgres_server, cut)
    fault_tally.add("line to the database cut: migration", len(cuts))


def test_a_line_cut_while_a_connection_is_made_is_an_answer_in_time_and_no_session_stays(
    migrated_database: str, tmp_path: Path, fault_tally: FaultTally
) -> None:
    auditor = Auditor(migrated_database, tmp_path)

    def connect(proxy: WireProxy, cut: CutAt | None) -> tuple[bool, list[tuple[Sender, str]]]:
        """Whether the cut was reached by the first call, and the messages of that call."""
        proxy.cut(cut)
        with Database(proxy.dsn, min_size=0, connect_timeout_s=3.0, statement_timeout_s=3.0) as database:
            store = PostgresTileMetadataStore(database)
            try:
                assert store.total_disk_bytes() == 0
            except StoreUnavailableError:
                assert cut is not None
            reached, heard = proxy.has_cut.is_set(), list(proxy.heard)
            proxy.heal()
            eventually("the pool does not recover", lambda: answers(store))
        eventually("a session stays", lambda: auditor.sessions() == 0)
        return reached, heard

    with proxied(migrated_database) as proxy:
        _, heard = connect(proxy, None)
        cuts = cuts_of(heard, "connection")
        reached = sum(connect(proxy, cut)[0] for cut in cuts)
    assert reached >= 0.8 * len(cuts)
    fault_tally.add("line to the database cut: new connection", reached)


def answers(store: PostgresTileMetadataStore) -> bool:
    try:
        return store.total_disk_bytes() == 0
    except StoreUnavailableError:
        return False


def test_a_line_cut_while_a_store_is_opened_is_an_answer_in_time_and_the_next_opening_succeeds(
    migrated_database: str, tmp_path: Path, fault_tally: FaultTally
) -> None:
    config = AerotileConfig(root=tmp_path, database=DatabaseConfig(dsn=Secret(migrated_database)))
    auditor = Auditor(migrated_database, config.tiles_folder)
    with Runtime(config) as runtime:
        for outcome in runtime.tile_store.write_tiles([tile(tile_id) for tile_id in BASE]):
            assert outcome.stored is not None

    def opened(dsn: str) -> bool:
        settings = DatabaseConfig(dsn=Secret(dsn), connect_timeout_s=3.0, statement_timeout_s=3.0)
        try:
            with Runtime(attrs.evolve(config, database=settings)) as runtime:
                assert all(runtime.tile_store.tile_exists(tile_id) for tile_id in BASE)
        except StoreUnavailableError:
            return False
        return True

    with proxied(migrated_database) as proxy:
        heard = []
        for _ in range(4):  # without what a pause adds
            proxy.cut(None)
            assert opened(proxy.dsn)
            heard.append(list(proxy.heard))
        cuts = cuts_of(min(heard, key=len), "opening")
        reached = 0
        for cut in cuts:
            proxy.cut(cut)
            assert opened(proxy.dsn) or proxy.has_cut.is_set(), cut
            reached += proxy.has_cut.is_set()
            proxy.heal()
            assert opened(proxy.dsn), cut
            auditor.expect_nothing_left_behind()
    eventually("a session stays", lambda: auditor.sessions() == 0)
    audit = auditor.audit()
    assert len(audit.rows) == len(BASE)
    assert not (audit.lost | audit.torn | audit.leaked)
    assert reached >= 0.8 * len(cuts)
    fault_tally.add("line to the database cut: opening", reached)


def test_a_feed_whose_line_is_cut_anywhere_listens_again_and_misses_nothing(
    migrated_database: str, tmp_path: Path, fault_tally: FaultTally
) -> None:
    config = AerotileConfig(
        root=tmp_path, database=DatabaseConfig(dsn=Secret(migrated_database), pool_max_size=2)
    )
    auditor = Auditor(migrated_database, config.tiles_folder)
    with (
        proxied(migrated_database) as proxy,
        Database(proxy.dsn, min_size=0, connect_timeout_s=3.0, statement_timeout_s=3.0) as line,
        Runtime(config) as ours,
        Runtime(config) as theirs,
    ):
        feed = ours.__dict__["tile_feed"] = TileFeed(line)
        store, others = ours.tile_store, theirs.tile_store

        def follow(x: int, cut: CutAt | None) -> bool:
            """Have the feed come back, and be told of a tile, on a line that is cut."""
            proxy.cut(cut)
            proxy.end_all()
            eventually("no feed", lambda: proxy.has_cut.is_set() or auditor.ask(LISTENING) == [(2,)])
            others.write_tile(*tile(imported(x)))
            eventually(f"a tile is missed: {cut}", lambda: store.tile_exists(imported(x)))
            reached = proxy.has_cut.is_set()
            proxy.heal()
            with store.read_tile_pixels(imported(x)) as handle:
                assert bytes(memoryview(handle)) == tile(imported(x))[0]
            return reached

        follow(0, None)
        notice = (Sender.SERVER, sum(sender is Sender.SERVER for sender, _ in proxy.heard) - 1)
        # A line that falls silent while nothing is awaited is noticed by TCP, which this one answers.
        cuts = [
            cut
            for cut in cuts_of(list(proxy.heard), "feed")
            if cut.how is not Cut.SILENT or (cut.sender, cut.number) != notice
        ]
        reached = sum(follow(x, cut) for x, cut in enumerate(cuts, start=1))
        feed.close()
    eventually("a session stays", lambda: auditor.sessions() == 0)
    assert reached >= 0.8 * len(cuts)
    fault_tally.add("line to the database cut: feed", reached)


LISTENING = """
    SELECT count(*)::int FROM pg_stat_activity
    WHERE datname = current_database() AND query = 'LISTEN aerotile_tiles'
"""
