"""A store opens only files of its own: to another database's rows, every file would be an orphan."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4

import attrs
import pytest

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.ports.tile_files import TileFiles
from aerotile.domain.ports.tile_rows import TileRows
from aerotile.domain.store.recovery import ReconcileReport, reconcile
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)
REFUSED = "belong to another database"


def imported(x: int) -> TileId:
    return TileId(12, x, 0, TileSource.IMPORTED)


def tile(x: int, content: bytes = b"ground") -> tuple[bytes, TileMetadata]:
    pixels = example_jpeg(content)
    return pixels, example_metadata(imported(x), pixels, captured_at=NOW)


@attrs.frozen
class Subject:
    """Rows of two databases, and one place for files."""

    rows: TileRows
    others: TileRows
    files: TileFiles

    def place(self, x: int, content: bytes = b"ground") -> None:
        pixels, metadata = tile(x, content)
        self.files.place(self.files.stage(pixels, metadata))

    def commit(self, x: int, content: bytes = b"ground") -> None:
        with self.rows.insert(tile(x, content)[1], NOW) as row:
            row.commit()

    def open(self, rows: TileRows | None = None, now: datetime = NOW) -> ReconcileReport:
        return reconcile(rows or self.rows, self.files, MemoryTileCatalogue(), now=now, lock_timeout_s=5.0)


@pytest.fixture(params=["memory", "postgres and files"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "memory":
        yield Subject(MemoryTileRows(), MemoryTileRows(), MemoryTileFiles())
        return
    from aerotile.adapters.postgres.connection import Database
    from aerotile.adapters.postgres.migrate import apply_migrations
    from aerotile.adapters.postgres.tile_rows import PostgresTileRows

    dsns = [request.getfixturevalue(name) for name in ("migrated_database", "empty_database")]
    apply_migrations(dsns[1])  # `migrated_database` is a copy; this one has an identity of its own
    with ExitStack() as stack:
        rows = [PostgresTileRows(stack.enter_context(Database(dsn))) for dsn in dsns]
        yield Subject(*rows, stack.enter_context(FilesystemTileFiles(tmp_path / "tiles")))


def test_a_database_has_one_identity_and_another_database_another(subject: Subject) -> None:
    assert isinstance(subject.rows.store_id(), UUID)
    assert subject.rows.store_id() == subject.rows.store_id()
    assert subject.rows.store_id() != subject.others.store_id()


def test_the_first_claim_stands(subject: Subject) -> None:
    first = uuid4()
    assert subject.files.store_id() is None
    assert subject.files.claim(first) == first
    assert subject.files.claim(uuid4()) == first
    assert subject.files.store_id() == first


def test_an_empty_folder_is_claimed_by_the_first_open(subject: Subject) -> None:
    subject.open()
    assert subject.files.store_id() == subject.rows.store_id()
    assert list(subject.files.inventory()) == []


def test_another_databases_tiles_are_refused_and_left_alone(subject: Subject) -> None:
    subject.open()
    subject.place(1)
    subject.commit(1)
    with pytest.raises(StoreUnavailableError, match=REFUSED) as refused:
        subject.open(subject.others)
    assert str(subject.files) in str(refused.value)
    assert "DSN" in (refused.value.remedy or "")
    assert subject.files.exists(imported(1))
    assert subject.open().tiles == 1


def test_a_folder_without_an_identity_is_claimed_when_a_row_has_its_file(subject: Subject) -> None:
    subject.place(1)
    subject.place(2)
    subject.commit(2)
    assert subject.open().orphans_removed == 1
    assert subject.files.store_id() == subject.rows.store_id()


def test_a_folder_without_an_identity_is_refused_when_no_row_has_its_file(subject: Subject) -> None:
    subject.place(1)
    subject.commit(2)
    with pytest.raises(StoreUnavailableError, match=REFUSED):
        subject.open()
    assert subject.files.exists(imported(1))
    assert subject.files.store_id() is None


def test_the_same_place_with_other_content_does_not_make_a_folder_ours(subject: Subject) -> None:
    subject.place(1, b"another mission's")
    subject.commit(1)
    with pytest.raises(StoreUnavailableError, match=REFUSED):
        subject.open()
    assert subject.files.exists(imported(1))


def test_a_folder_that_lost_its_sidecars_is_known_by_the_bytes(subject: Subject) -> None:
    subject.place(1)
    subject.commit(1)
    subject.files.restore_sidecar(imported(1), "0" * 64)
    assert subject.open().tiles == 1


def test_files_that_are_gone_are_one_line_in_the_log(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    subject.open()
    for x in range(5):
        subject.commit(x)
    with caplog.at_level(logging.WARNING, logger="aerotile"):
        assert subject.open().files_missing == 5
    (line,) = caplog.messages
    assert "5 tiles" in line
    assert line.endswith("and 2 more")


def test_an_empty_folder_in_the_place_of_the_tiles_is_refused_until_it_is_named(subject: Subject) -> None:
    subject.commit(1)
    with pytest.raises(StoreUnavailableError, match="may not be mounted") as refused:
        subject.open()
    assert str(subject.rows.store_id()) in (refused.value.remedy or "")
    assert subject.files.store_id() is None
    assert list(subject.rows.marked_missing()) == []
    subject.files.claim(subject.rows.store_id())
    assert subject.open().files_missing == 1


def test_a_file_that_is_back_is_not_noted_as_missing_any_more(subject: Subject) -> None:
    subject.open()
    subject.commit(1)
    subject.commit(2)
    assert subject.open().files_missing == 2
    assert set(subject.rows.marked_missing()) == {imported(1), imported(2)}
    subject.place(1)
    report = subject.open(now=NOW + timedelta(hours=1))
    assert (report.files_missing, report.files_back, report.orphans_removed) == (1, 1, 0)
    assert list(subject.rows.marked_missing()) == [imported(2)]


def test_an_old_row_with_neither_hash_nor_file_is_counted_and_marked() -> None:
    rows = MemoryTileRows()
    rows.add_row_without_hash(TileMetadataPersistent.of(tile(1)[1], created_at=NOW))
    report = reconcile(rows, MemoryTileFiles(), MemoryTileCatalogue(), now=NOW, lock_timeout_s=5.0)
    assert (report.files_missing, report.rows_completed) == (1, 0)
    assert rows.files_missing == {imported(1): NOW}


def test_the_identity_is_one_read_only_line_beside_the_tiles(tmp_path: Path) -> None:
    earlier = os.umask(0o777)
    try:
        with FilesystemTileFiles(tmp_path) as files:
            identity = files.claim(uuid4())
    finally:
        os.umask(earlier)
    (path,) = tmp_path.iterdir()
    assert path.name == ".aerotile-store"
    assert path.read_text() == f"{identity}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o440


def test_what_a_crash_left_of_a_claim_does_not_stop_the_next(tmp_path: Path) -> None:
    (tmp_path / ".aerotile-store.tmp").write_text("half")
    with FilesystemTileFiles(tmp_path) as files:
        identity = files.claim(uuid4())
        assert files.store_id() == identity
    assert [path.name for path in tmp_path.iterdir()] == [".aerotile-store"]


def test_of_many_claims_at_once_one_stands(tmp_path: Path) -> None:
    def claim(_: int) -> UUID:
        with FilesystemTileFiles(tmp_path) as files:
            return files.claim(uuid4())

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(claim, range(32)))) == 1


def _link(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.write_text(f"{uuid4()}\n")
    path.symlink_to(target)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.touch(),
        lambda path: path.write_text("not a UUID\n"),
        lambda path: path.write_text(f"{uuid4()}"),
        lambda path: path.write_text(f"{uuid4()}\nmore"),
        lambda path: path.write_bytes(b"\xff" * 37),
        Path.mkdir,
        os.mkfifo,
        _link,
    ],
    ids=["empty", "text", "no line feed", "second line", "binary", "folder", "FIFO", "link"],
)
def test_a_damaged_identity_is_refused_and_nothing_is_touched(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    with FilesystemTileFiles(tmp_path) as files:
        subject = Subject(MemoryTileRows(), MemoryTileRows(), files)
        subject.place(1)
        subject.commit(1)
        damage(tmp_path / ".aerotile-store")
        with pytest.raises(StoreUnavailableError, match=r"\.aerotile-store") as refused:
            subject.open()
        assert refused.value.remedy
        assert files.exists(imported(1))
