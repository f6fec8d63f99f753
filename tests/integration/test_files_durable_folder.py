"""Folders are made with their parents, synced into them, and not taken for durable when a sync failed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from aerotile.adapters.files.durable_folder import make_folder_durably, make_folder_in, publish_folder


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every folder that is synced, in order."""
    paths: list[Path] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        real(descriptor)
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", noted)
    return paths


@pytest.fixture
def parent(tmp_path: Path) -> int:
    return os.open(tmp_path, os.O_RDONLY)


def refuse_to_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", failing)


def test_each_missing_parent_is_synced_into_its_own(tmp_path: Path, synced: list[Path]) -> None:
    make_folder_durably(tmp_path / "a" / "b" / "c", 0o750)
    assert synced == [tmp_path.parent, tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    make_folder_durably(tmp_path / "a" / "b" / "c", 0o750)
    assert synced[4:] == [tmp_path / "a" / "b"]


def test_a_folder_that_another_process_has_just_made_is_synced(
    tmp_path: Path, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    with monkeypatch.context() as patched:
        refuse_to_sync(patched)
        with pytest.raises(OSError, match="Input/output error"):
            make_folder_durably(tmp_path / "theirs", 0o750)
    make_folder_durably(tmp_path / "theirs", 0o750)
    assert synced == [tmp_path]


def test_a_folder_made_again_under_its_name_and_inode_is_synced_again(
    tmp_path: Path, synced: list[Path]
) -> None:
    """A file system gives a freed inode to the next folder, so neither tells that the name is durable."""
    for _ in range(3):
        (tmp_path / "again").mkdir()
        make_folder_durably(tmp_path / "again", 0o750)
        (tmp_path / "again").rmdir()
    assert synced == [tmp_path] * 3


def test_a_folder_in_one_that_can_not_be_synced_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refused)
    make_folder_durably(tmp_path, 0o750)


def test_parents_may_have_another_mode(tmp_path: Path) -> None:
    make_folder_durably(tmp_path / "a" / "b", 0o711, parent_mode=0o755)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b")]
    assert modes == [0o755, 0o711]


def test_a_link_to_a_folder_is_the_folder(tmp_path: Path, synced: list[Path]) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    make_folder_durably(tmp_path / "link" / "a", 0o750)
    assert (tmp_path / "there" / "a").is_dir()
    assert synced == [tmp_path, tmp_path / "there"]


def test_a_folder_whose_parent_can_not_be_synced_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder_durably(tmp_path, 0o750)
    refuse_to_sync(monkeypatch)
    with pytest.raises(OSError, match="Input/output error"):
        make_folder_durably(tmp_path / "a", 0o750)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_process_is_synced_and_stays(
    tmp_path: Path, parent: int, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    make_folder_in(parent, "theirs", 0o750)
    assert synced == [tmp_path]
    refuse_to_sync(monkeypatch)
    with pytest.raises(OSError, match="Input/output error"):
        make_folder_in(parent, "theirs", 0o750)
    assert (tmp_path / "theirs").is_dir()


def test_a_folder_that_need_not_be_durable_waits_for_no_disk(
    tmp_path: Path, parent: int, synced: list[Path]
) -> None:
    make_folder_in(parent, "a", 0o750, durable=False)
    assert (tmp_path / "a").is_dir()
    assert synced == []


def test_a_file_in_the_place_of_a_folder_is_left_to_the_caller_who_opens_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a file")
    make_folder_durably(tmp_path / "a", 0o750)
    assert (tmp_path / "a").read_bytes() == b"a file"
    with pytest.raises(NotADirectoryError):
        make_folder_durably(tmp_path / "a" / "b", 0o750)


def test_a_folder_is_published_after_its_names_and_before_its_own_name_are_synced(
    tmp_path: Path, synced: list[Path]
) -> None:
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a.partial" / "file").touch()
    publish_folder(tmp_path / "a.partial", tmp_path / "a")
    assert synced == [tmp_path / "a.partial", tmp_path]
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "file"]


def test_a_folder_whose_names_can_not_be_synced_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.partial").mkdir()
    refuse_to_sync(monkeypatch)
    with pytest.raises(OSError, match="Input/output error"):
        publish_folder(tmp_path / "a.partial", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial"]
