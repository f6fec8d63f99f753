"""A COMMIT that is sent behind the answer to its INSERT, once the file is durable: one wait for both."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs
import pytest
from cut_connections import NOW, Cut, Proxy, described
from psycopg import pq
from waiting import until

from aerotile.adapters.filesystem.disk import Disk
from aerotile.adapters.filesystem.tile_files import FilesystemTileFiles
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.adapters.postgres import pipeline, transactions
from aerotile.adapters.postgres.connection import Database
from aerotile.adapters.postgres.libpq import driver_libpq
from aerotile.adapters.postgres.tile_metadata import PostgresTileMetadataStore
from aerotile.adapters.postgres.tile_rows import PostgresTileRows
from aerotile.domain.errors import (
    CommitOutcomeUnknownError,
    DuplicateTileError,
    HeadroomTakenError,
    StoreUnavailableError,
)
from aerotile.domain.ports.tile_rows import OpenRow
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

PIXELS = example_jpeg(bytes(1_000))
BUDGET_BYTES = 30_000


def tile(y: int) -> TileMetadata:
    """One of several in one folder."""
    return attrs.evolve(
        described(0),
        tile_id=TileId(8, 0, y, TileSource.IMPORTED),
        content_sha256=hashlib.sha256(PIXELS).hexdigest(),
        disk_bytes=len(PIXELS),
    )


@attrs.frozen
class Site:
    """Rows by way of a proxy, their files, and the same rows not by way of it."""

    proxy: Proxy
    rows: PostgresTileRows
    files: FilesystemTileFiles
    straight: PostgresTileMetadataStore

    def write(self, y: int, *, ahead: Callable[[], None] = lambda: None) -> None:
        """As `write_tile` does it; `ahead` is called before anything is committed."""
        staged = self.files.stage(PIXELS, tile(y))
        with self.rows.insert(tile(y), NOW) as row:
            ahead()
            self.files.prewrite(staged, row.answers)
            self.finish(y, row)

    def finish(self, y: int, row: OpenRow) -> None:
        if y == 0:  # neither the folder nor the statement is known yet
            assert not row.is_committing
            row.finish_insert()
            self.files.place(self.files.stage(PIXELS, tile(y)))
        else:
            assert row.is_committing
            row.finish_insert()
        row.commit()


def write_all(site: Site, many: Iterable[int]) -> None:
    for y in many:
        site.write(y)


@pytest.fixture
def site(migrated_database: str, tmp_path: Path) -> Iterator[Site]:
    """A folder and a connection in which a tile was written before."""
    folder = os.open(tmp_path, os.O_RDONLY)
    if not Disk.of(folder).prewriting_device:
        pytest.skip("this file system gives no name safely to a file that has none")
    os.close(folder)
    proxy = Proxy(migrated_database)
    with (
        Database(proxy.dsn, max_size=1) as database,
        Database(migrated_database) as another,
        FilesystemTileFiles(tmp_path / "tiles") as files,
    ):
        rows = PostgresTileRows(database, disk_budget_bytes=BUDGET_BYTES)
        site = Site(proxy, rows, files, PostgresTileMetadataStore(another))
        site.write(0)
        yield site
    proxy.close()


def test_a_row_is_committed_and_its_file_in_place_before_the_answers_are_read(site: Site) -> None:
    staged = site.files.stage(PIXELS, tile(1))
    with site.rows.insert(tile(1), NOW) as row:
        site.files.prewrite(staged, row.answers)
        assert row.is_committing
        until(lambda: site.straight.get_by_id(tile(1).tile_id) is not None)  # nobody has waited for it
        assert site.files.exists(tile(1).tile_id)
        assert row.commit().tile_id == tile(1).tile_id
    assert site.straight.total_disk_bytes() == 2 * len(PIXELS)
    site.write(2)


def test_a_commit_behind_whose_answer_was_lost_counts_as_done(site: Site) -> None:
    site.write(1, ahead=lambda: setattr(site.proxy, "cut", Cut.AFTER))
    site.proxy.cut = None
    assert site.straight.get_by_id(tile(1).tile_id) is not None
    assert site.straight.total_disk_bytes() == 2 * len(PIXELS)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.SWALLOWED])
def test_a_commit_behind_that_did_not_arrive_is_certainly_not_done(site: Site, cut: Cut) -> None:
    with pytest.raises(StoreUnavailableError, match="connection was lost") as refused:
        site.write(1, ahead=lambda: setattr(site.proxy, "cut", cut))
    assert not isinstance(refused.value, CommitOutcomeUnknownError)
    site.proxy.cut = None
    assert site.straight.get_by_id(tile(1).tile_id) is None
    assert site.straight.total_disk_bytes() == len(PIXELS)


@pytest.mark.parametrize("cut", list(Cut))
def test_a_commit_behind_that_nobody_can_be_asked_about_is_unknown(
    site: Site, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "OUTCOME_WAIT_S", 0.5)
    site.proxy.gone_after_cut = True
    with pytest.raises(CommitOutcomeUnknownError, match="can't be known yet"):
        site.write(1, ahead=lambda: setattr(site.proxy, "cut", cut))


def test_a_commit_behind_past_the_budget_is_refused_and_rolled_back(site: Site) -> None:
    with pytest.raises(HeadroomTakenError):
        write_all(site, range(1, 10))
    stored = list(site.rows.committed())
    assert site.straight.total_disk_bytes() == sum(row.disk_bytes for row in stored) > len(PIXELS)
    with site.rows.removing(tile(1).tile_id) as freed:
        assert freed == len(PIXELS)
    site.write(1)


def test_a_duplicate_is_refused_before_anything_is_sent_behind_it(site: Site) -> None:
    site.write(1)
    staged = site.files.stage(PIXELS, tile(1))
    with site.rows.insert(tile(1), NOW) as row:
        site.files.prewrite(staged, row.answers)
        assert not row.is_committing
        with pytest.raises(DuplicateTileError):
            row.finish_insert()
    site.write(2)


def test_the_driver_is_a_compiled_one() -> None:
    # Where it is not, a write waits once more, and no other test here says so.
    assert pq.__impl__ in {"binary", "c"}


def test_with_a_driver_that_is_not_compiled_the_steps_go_on_one_by_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pq, "__impl__", "python")
    monkeypatch.setattr(pipeline, "driver_libpq", driver_libpq.__wrapped__)
    staged = site.files.stage(PIXELS, tile(1))
    with site.rows.insert(tile(1), NOW) as row:
        site.files.prewrite(staged, row.answers)
        assert not row.is_committing
        row.finish_insert()
        site.files.place(staged)
        assert site.straight.get_by_id(tile(1).tile_id) is None
        row.commit()
    assert site.straight.get_by_id(tile(1).tile_id) is not None
