"""What the database tells listeners about its tiles: every change of which tiles there are, and no reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
import psycopg
import pytest

from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource, VotingStatus

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
IMPORTED = TileId(16, 3, 4, TileSource.IMPORTED)
ONBOARD = TileId(22, 4194303, 4194302, TileSource.ONBOARD, FLIGHT)


def described(tile_id: TileId) -> TileMetadata:
    return example_metadata(
        tile_id,
        b"a" * 10,
        captured_at=NOW,
        voting_status=VotingStatus.PENDING if tile_id.source is TileSource.ONBOARD else None,
    )


@attrs.frozen
class Site:
    """A database with somebody who listens to it."""

    database: Database
    listener: psycopg.Connection[tuple[object, ...]]

    @property
    def rows(self) -> PostgresTileRows:
        return PostgresTileRows(self.database)

    @property
    def store(self) -> PostgresTileMetadataStore:
        return PostgresTileMetadataStore(self.database)

    def heard(self) -> list[str]:
        """Every payload since the last call; a marker of our own says that there are no more."""
        with self.database.connection() as connection:
            connection.execute("NOTIFY aerotile_tiles, 'end'")
        payloads: list[str] = []
        for notice in self.listener.notifies():
            if notice.payload == "end":
                break
            payloads.append(notice.payload)
        return payloads


@pytest.fixture
def site(migrated_database: str) -> Iterator[Site]:
    with (
        Database(migrated_database) as database,
        psycopg.connect(migrated_database, autocommit=True) as listener,
    ):
        listener.execute("LISTEN aerotile_tiles")
        yield Site(database, listener)


def test_a_commit_says_which_tiles_it_added_and_which_it_removed(site: Site) -> None:
    for tile_id in (IMPORTED, ONBOARD):
        with site.rows.insert(described(tile_id), NOW) as row:
            row.commit()
    assert site.heard() == ["+16/3/4/imported ", f"+22/4194303/4194302/onboard/{FLIGHT} "]
    with site.rows.removing(ONBOARD):
        assert site.heard() == [f"-22/4194303/4194302/onboard/{FLIGHT} "]


def test_what_was_rolled_back_is_not_spoken_of(site: Site) -> None:
    with site.rows.insert(described(IMPORTED), NOW) as row:
        row.finish_insert()
    with site.rows.removing(IMPORTED):
        pass
    assert site.heard() == []


def test_a_batch_names_all_of_its_tiles_in_few_notices(site: Site) -> None:
    tiles = [attrs.evolve(ONBOARD, x=x) for x in range(4_193_000, 4_194_000)]
    with site.rows.insert_many([described(tile_id) for tile_id in tiles], NOW) as rows:
        rows.commit()
    payloads = site.heard()
    assert sorted("".join(payloads).split()) == sorted(
        f"+22/{tile_id.x}/{tile_id.y}/onboard/{FLIGHT}" for tile_id in tiles
    )
    assert len(payloads) == 9
    assert all(len(payload) < 8000 for payload in payloads)


def test_a_change_of_what_may_be_done_with_a_tile_is_spoken_of(site: Site) -> None:
    with site.rows.insert(described(ONBOARD), NOW) as row:
        row.commit()
    site.heard()
    changed = [f"~22/4194303/4194302/onboard/{FLIGHT}"]
    site.store.set_pinned(ONBOARD, True)
    assert site.heard() == changed
    site.store.update_voting_status(ONBOARD, VotingStatus.TRUSTED)
    assert site.heard() == changed
    site.store.mark_uploaded(ONBOARD, NOW, described(ONBOARD).content_sha256)
    assert site.heard() == changed
    with site.database.connection() as connection:
        connection.execute("UPDATE tiles SET content_sha256 = NULL")
    assert site.heard() == changed
    site.rows.fill_hash(ONBOARD, "b" * 64, 20)
    assert site.heard() == changed


def test_what_changes_nothing_that_a_reader_could_see_is_not_spoken_of(site: Site) -> None:
    with site.rows.insert(described(IMPORTED), NOW) as row:
        row.commit()
    site.heard()
    site.store.record_lru_access({IMPORTED: NOW + timedelta(hours=1)})
    site.store.increment_upload_attempts(IMPORTED)
    site.rows.mark_files_missing([IMPORTED], NOW)
    site.store.set_pinned(IMPORTED, False)
    assert site.heard() == []
