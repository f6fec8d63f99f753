"""Older generations of the descriptor index: how many are kept, and the way back to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_builds import build, generation, nearest

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.errors import IndexUnavailableError


def damage(folder: Path) -> None:
    path = folder / "tiles.index"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.unlink()
    path.write_bytes(content)


def test_as_many_older_generations_are_kept_as_asked_for(root: Path) -> None:
    index = FaissDescriptorIndex(root, keep_generations=2)
    for number in range(5):
        build(index, number * 100)
    assert index.generations.names() == ["000003", "000004", "000005"]


def test_none_are_kept_when_none_are_asked_for(root: Path) -> None:
    index = FaissDescriptorIndex(root, keep_generations=0)
    build(index, 0)
    build(index, 100)
    assert index.generations.names() == ["000002"]
    assert nearest(index) == 100


def test_a_rollback_answers_from_the_generation_before_here_and_in_the_next_process(built: Path) -> None:
    index = FaissDescriptorIndex(built)
    build(index, 200)
    index.rollback()
    assert nearest(index) == nearest(FaissDescriptorIndex(built)) == 100


def test_a_rollback_can_name_its_generation(built: Path) -> None:
    index = FaissDescriptorIndex(built)
    build(index, 200)
    index.rollback()
    index.rollback("000002")
    assert nearest(index) == 200


def test_a_rollback_leads_away_from_a_damaged_generation(built: Path) -> None:
    build(FaissDescriptorIndex(built), 200)
    damage(generation(built))
    index = FaissDescriptorIndex(built, open_existing=False)
    index.rollback()
    assert nearest(index) == 100


def test_a_damaged_index_can_be_rebuilt_by_a_tool_that_does_not_open_it(built: Path) -> None:
    damage(generation(built))
    build(FaissDescriptorIndex(built, open_existing=False), 200)
    assert nearest(FaissDescriptorIndex(built)) == 200


def test_a_rollback_to_a_damaged_generation_changes_nothing(built: Path) -> None:
    index = FaissDescriptorIndex(built)
    build(index, 200)
    damage(built / "generations" / "000001")
    with pytest.raises(IndexUnavailableError):
        index.rollback()
    assert nearest(index) == nearest(FaissDescriptorIndex(built)) == 200


@pytest.mark.parametrize("name", [None, "000009", "../generations/000001"])
def test_a_rollback_to_a_generation_that_is_not_there_is_refused(built: Path, name: str | None) -> None:
    with pytest.raises(IndexUnavailableError, match="holds no generation"):
        FaissDescriptorIndex(built).rollback(name)


def test_a_rollback_where_none_is_in_use_is_refused_and_names_what_there_is(built: Path) -> None:
    (built / "current").unlink()
    with pytest.raises(IndexUnavailableError, match="is in use to go back from") as refused:
        FaissDescriptorIndex(built, open_existing=False).rollback()
    assert refused.value.remedy == "name the one to use: 000001"
    assert not (built / "current").exists()


def test_a_rollback_where_nothing_was_built_is_refused_and_makes_no_folder(root: Path) -> None:
    with pytest.raises(IndexUnavailableError, match="no descriptor index"):
        FaissDescriptorIndex(root).rollback()
    assert not root.exists()
