"""A right that the user of a process lacks is told as that: it is no damage and no full disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import aerotile
from aerotile.adapters.config.settings import AerotileConfig
from aerotile.adapters.faiss.generations import IndexGenerations
from aerotile.adapters.files.generations import READ_REMEDY
from aerotile.adapters.recall_lists.lists import RecallLists
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.key_lists import KeyLists
from aerotile.adapters.signatures import Trust
from aerotile.domain.errors import AerotileError, StoreUnavailableError

NOBODY = 65534
TRUST = Trust(("ab" * 32,), 1)


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Nobody may read `path` in the block; root, who may, is somebody else meanwhile."""
    me, mode = os.geteuid(), path.stat().st_mode
    path.chmod(0)
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)
        path.chmod(mode)


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("current", lambda root: KeyLists(root, TRUST).trust()),
        ("generations/000001", lambda root: KeyLists(root, TRUST).trust()),
        ("current", lambda root: RecallLists(root, TRUST).read()),
        ("generations/000001", lambda root: RecallLists(root, TRUST).read()),
        ("current", lambda root: BaseGenerations(root).current()),
        ("generations/000001", lambda root: BaseGenerations(root).manifest("000001", TRUST)),
        ("current", lambda root: IndexGenerations(root).current()),
    ],
)
def test_nothing_is_to_be_replaced_for_the_lack_of_a_right(
    tmp_path: Path, name: str, look: Callable[[Path], object]
) -> None:
    (tmp_path / "generations" / "000001").mkdir(parents=True)
    (tmp_path / "current").write_text(f"000001 {'0' * 64}\n")
    with unreadable(tmp_path / name), pytest.raises(AerotileError, match="Permission denied") as caught:
        look(tmp_path)
    assert caught.value.remedy == READ_REMEDY


def test_a_folder_that_may_not_be_written_to_is_not_said_to_be_full(tmp_path: Path) -> None:
    lists = KeyLists(tmp_path, TRUST)
    with unreadable(tmp_path), pytest.raises(AerotileError, match="Permission denied") as caught:
        lists.apply(b"", "the list")
    assert caught.value.remedy == "let this user write there, then apply it again"


@pytest.mark.parametrize(
    "build",
    [
        aerotile.build_tile_store,
        aerotile.build_tile_metadata_store,
        aerotile.build_dataset_store,
        aerotile.apply_migrations,
    ],
)
def test_a_database_s_folder_that_can_not_be_looked_into_is_an_error_of_the_store(
    tmp_path: Path, build: Callable[[AerotileConfig], object]
) -> None:
    (tmp_path / "postgres").symlink_to("x" * 300)  # root, who may run the tests, enters every folder
    with pytest.raises(StoreUnavailableError, match=r"can't start the database in .*File name too long"):
        build(AerotileConfig(root=tmp_path))
