"""Builds of the descriptor index beside readers, searches and other builders, and builds that are refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from index_builds import BUILT_AT, DIMENSION, build, nearest, tile

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.errors import IndexBuildError
from aerotile.domain.values.descriptors import VectorStorage
from aerotile.domain.values.tiles import TileId, TileSource


def test_a_reader_of_the_old_generation_is_not_disturbed_by_its_removal(built: Path) -> None:
    reader = FaissDescriptorIndex(built)
    build(FaissDescriptorIndex(built, keep_generations=0), 200)
    assert nearest(reader) == 100


def test_searches_go_on_while_rebuilds_swap(root: Path) -> None:
    index = FaissDescriptorIndex(root, keep_generations=0)
    build(index, 0)
    done = threading.Event()
    answers: set[int] = set()
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            while not done.is_set():
                answers.add(nearest(index))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 20):
        build(index, number * 100)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert answers <= {number * 100 for number in range(20)}
    assert nearest(index) == 1900


def test_a_second_builder_is_refused_while_one_is_at_work(built: Path) -> None:
    index = FaissDescriptorIndex(built)
    refusals: list[str] = []

    def try_another(done: int, total: int) -> None:
        other = FaissDescriptorIndex(built)
        for attempt in (lambda: build(other, 300), other.rollback):
            with pytest.raises(IndexBuildError, match="under way") as refused:
                attempt()
            refusals.append(str(refused.value))

    build(index, 200, progress=try_another)
    assert len(refusals) == 2
    assert nearest(FaissDescriptorIndex(built)) == 200


def test_a_root_that_is_a_file_is_a_build_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(IndexBuildError, match="can't be written"):
        build(FaissDescriptorIndex(tmp_path / "file" / "index", open_existing=False))


def test_components_too_large_for_float16_are_refused(root: Path) -> None:
    descriptors = np.full((3, DIMENSION), 70_000, np.float32)
    arguments: dict[str, Any] = {"descriptor_model": "a", "built_at": BUILT_AT}
    with pytest.raises(IndexBuildError, match="does not fit into float16"):
        FaissDescriptorIndex(root).rebuild([tile(n) for n in range(3)], descriptors, **arguments)
    FaissDescriptorIndex(root, storage=VectorStorage.FLOAT32).rebuild(
        [tile(n) for n in range(3)], descriptors, **arguments
    )


def test_more_flights_than_a_tile_key_can_name_are_refused(root: Path) -> None:
    tiles = [TileId(5, 1, 1, TileSource.ONBOARD, uuid4()) for _ in range(16_383)]
    with pytest.raises(IndexBuildError, match="too many flights"):
        FaissDescriptorIndex(root).rebuild(
            tiles, np.ones((len(tiles), 1), np.float32), descriptor_model="a", built_at=BUILT_AT
        )
