"""Every `TileVersions` fulfils its contract; the file is a hint that may be lost."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from aerotile.adapters.contracts.tile_versions import TileVersionsContract
from aerotile.adapters.fetched_versions import FETCHED_VERSIONS, FetchedVersions
from aerotile.adapters.memory.tile_versions import MemoryTileVersions
from aerotile.domain.ports.imagery_source import TilePlace
from aerotile.domain.ports.tile_versions import FetchedVersion, TileVersions

_PLACE = TilePlace(9, 1, 2)
_VERSION = FetchedVersion('ETag: "a"', "ab" * 32)


class TestMemoryTileVersions(TileVersionsContract):
    @pytest.fixture
    def versions(self) -> TileVersions:
        return MemoryTileVersions()


class TestFetchedVersions(TileVersionsContract):
    @pytest.fixture
    def versions(self, tmp_path: Path) -> TileVersions:
        return FetchedVersions(tmp_path)


def test_another_process_finds_what_was_noted_and_no_stranger_may_write_it(tmp_path: Path) -> None:
    FetchedVersions(tmp_path).note("a", {_PLACE: _VERSION})
    assert FetchedVersions(tmp_path).find("a", [_PLACE]) == {_PLACE: _VERSION}
    assert (tmp_path / FETCHED_VERSIONS).stat().st_mode & 0o777 & ~0o640 == 0


def test_a_question_makes_no_file(tmp_path: Path) -> None:
    assert FetchedVersions(tmp_path).find("a", [_PLACE]) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"no database" * 100, b"SQLite format 3\0" + bytes(range(256)) * 16],
    ids=["another file", "damaged"],
)
def test_a_damaged_file_is_begun_anew_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FETCHED_VERSIONS).write_bytes(content)
    versions = FetchedVersions(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert versions.find("a", [_PLACE]) == {}
    assert "fetched whole by --refresh" in caplog.text
    versions.note("a", {_PLACE: _VERSION})
    assert versions.find("a", [_PLACE]) == {_PLACE: _VERSION}


def test_a_file_that_can_not_be_written_is_a_warning_and_a_link_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / FETCHED_VERSIONS).symlink_to(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING):
        FetchedVersions(root).note("a", {_PLACE: _VERSION})
    assert "fetched whole by --refresh" in caplog.text
    assert not (tmp_path / "elsewhere").exists()
