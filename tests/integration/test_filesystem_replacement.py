"""Each call that gives a replacement its place fails once, on the real file system."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from staged_tiles import TILE, stage

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.values.inventory import FoundKind

OLD, NEW = example_jpeg(b"older"), example_jpeg(b"newer")
DIGEST = hashlib.sha256(NEW).hexdigest()
WHOLE = {"5.jpg", "5.jpg.sha256"}


class FailingCalls:
    """Counts the calls of `os` that a replacement makes, and has one of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.fails_at: int | None = None
        self.error = errno.EIO
        for name in ("link", "rename", "unlink", "fsync", "open"):
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.made.append(name)
            if len(self.made) - 1 == self.fails_at:
                raise OSError(self.error, os.strerror(self.error))
            return call(*arguments, **named)

        return counted

    def begin(self, fails_at: int | None, error: int = errno.EIO) -> None:
        self.made.clear()
        self.fails_at, self.error = fails_at, error


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FilesystemTileFiles]:
    with FilesystemTileFiles(tmp_path) as opened:
        yield opened


def prepare(files: FilesystemTileFiles) -> None:
    for found in list(files.inventory()):
        files.discard(found)
    files.place(stage(files, pixels=OLD))
    files.place_beside(stage(files, pixels=NEW))


def test_what_a_recovery_discards_on_its_way_is_made_again(
    files: FilesystemTileFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(files)
    listed: set[str] = set()
    rename = os.rename

    def discarded_before(source: str, target: str, **folders: Any) -> None:
        if str(target) not in listed:
            listed.add(str(target))
            os.unlink(source, dir_fd=folders["src_dir_fd"])
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", discarded_before)
    assert files.take_place(TILE, DIGEST)
    assert listed == WHOLE
    listed.clear()
    files.restore_sidecar(TILE, DIGEST)
    assert listed == {"5.jpg.sha256"}
    folder = tmp_path / "imported" / "3" / "1"
    assert {file.name for file in folder.iterdir()} == WHOLE
    assert (folder / "5.jpg").read_bytes() == NEW
    assert (folder / "5.jpg.sha256").read_text().startswith(DIGEST)


def test_each_call_that_fails_leaves_both_or_the_new_one_and_a_second_attempt_completes_it(
    files: FilesystemTileFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = FailingCalls(monkeypatch)
    folder = tmp_path / "imported/3/1"
    refusals = 0
    for number in count():
        calls.begin(None)
        prepare(files)
        calls.begin(number)
        try:
            files.take_place(TILE, DIGEST)
        except StoreUnavailableError:
            refusals += 1
        made = len(calls.made)
        calls.begin(None)
        content = (folder / "5.jpg").read_bytes()
        second = folder / f".5.jpg.{DIGEST}.new"
        assert content == NEW or (content == OLD and second.read_bytes() == NEW), number
        files.take_place(TILE, DIGEST)
        assert (folder / "5.jpg").read_bytes() == NEW, number
        assert {path.name for path in folder.iterdir()} | {"5.jpg.sha256"} == WHOLE, number
        assert files.sidecar_sha256(TILE) in (DIGEST, None), number
        if made <= number:
            break
    assert refusals >= 4


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_where_a_file_can_have_no_further_name_the_second_one_becomes_the_tile_s(
    files: FilesystemTileFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    prepare(files)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", refuse)
    assert files.take_place(TILE, DIGEST)
    assert {path.name for path in (tmp_path / "imported/3/1").iterdir()} == WHOLE
    assert files.content_sha256(TILE) == files.sidecar_sha256(TILE) == DIGEST


def test_a_link_in_the_place_of_a_second_name_is_not_followed(
    files: FilesystemTileFiles, tmp_path: Path
) -> None:
    prepare(files)
    outside = tmp_path.parent / f"{tmp_path.name}-outside.jpg"
    outside.write_bytes(OLD)
    second = tmp_path / f"imported/3/1/.5.jpg.{DIGEST}.new"
    second.unlink()
    second.symlink_to(outside)
    assert [found.kind for found in files.inventory()] == [FoundKind.TILE, FoundKind.SIDECAR]
    assert files.content_sha256(TILE) == hashlib.sha256(OLD).hexdigest()
