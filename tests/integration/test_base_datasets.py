"""Datasets of a base: what the manifest says of them, what is refused, and that the bytes stay the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from pmtiles.reader import MmapSource, Reader
from sealed_bases import (
    NOBODY,
    Tile,
    dataset,
    imported,
    of_dataset,
    seal,
    source_of,
    square,
    tile,
)

from aerotile.adapters.sealed_base.facts import FACTS_ROW
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.manifest import MAX_DATASETS, decode_manifest
from aerotile.adapters.sealed_base.mapped_base import open_base
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.adapters.sealed_base.store import SealedTileStore
from aerotile.domain.errors import BaseSealError, BaseUnavailableError
from aerotile.domain.values.datasets import Dataset
from aerotile.domain.values.tiles import TileId, TileSource

A, B, C = DEFINED = (
    dataset("a"),
    dataset("b"),
    dataset("c", captured_at=None, captured_from="a CSV by tile"),
)


def mixed() -> list[Tile]:
    """Two tiles of c, one of a, four of none."""
    tiles = square(2)
    return [*tiles, *(of_dataset(imported(9, x, 5), "c") for x in (1, 2)), of_dataset(imported(9, 3, 5), "a")]


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "generations" / "000001").iterdir()}


def test_the_manifest_names_each_dataset_with_its_tiles_and_comes_back_as_it_was(tmp_path: Path) -> None:
    manifest = seal(tmp_path, mixed(), datasets=DEFINED)
    assert [(sealed.dataset, sealed.tiles) for sealed in manifest.datasets] == [(A, 1), (C, 2)]
    assert decode_manifest(manifest.encode()) == manifest
    rows = np.frombuffer(contents(tmp_path)["facts"], FACTS_ROW)
    assert sorted(rows["dataset"].tolist()) == [0, 0, 0, 0, 1, 2, 2]


def test_the_bytes_follow_from_the_tiles_and_not_from_other_datasets_or_the_order(tmp_path: Path) -> None:
    tiles = mixed()
    order = list(range(len(tiles)))
    random.Random(3).shuffle(order)
    seal(tmp_path / "0", tiles, datasets=(A, C))
    many = (A, B, C, dataset("d"))
    BaseGenerations(tmp_path / "1").seal(source_of(tiles, order, many), SealPlan())
    assert contents(tmp_path / "0") == contents(tmp_path / "1")


def test_a_dataset_all_of_whose_tiles_another_variant_replaces_is_not_named(tmp_path: Path) -> None:
    place = (9, 7, 7)
    tiles = [
        of_dataset(imported(*place), "a"),
        of_dataset(tile(TileId(*place, TileSource.SATELLITE_PROVIDER)), "b"),
    ]
    manifest = seal(tmp_path, tiles, SealPlan(prefer=("satellite_provider",)), datasets=DEFINED)
    assert [(sealed.dataset.name, sealed.tiles) for sealed in manifest.datasets] == [("b", 1)]
    assert np.frombuffer(contents(tmp_path)["facts"], FACTS_ROW)["dataset"].tolist() == [1]


def test_other_programs_find_the_attributions_in_the_archive(tmp_path: Path) -> None:
    seal(tmp_path, mixed(), datasets=DEFINED)
    with (tmp_path / "generations/000001/tiles.pmtiles").open("rb") as file:
        assert Reader(MmapSource(file)).metadata()["attribution"] == "© a; © c"


def test_tiles_that_may_not_be_stored_offline_refuse_the_seal_by_name_and_can_be_left_out(
    tmp_path: Path,
) -> None:
    defined = (A, B, attrs.evolve(C, may_be_stored_offline=False))
    with pytest.raises(BaseSealError, match=r"may not be stored offline: c \(2 tiles\)") as refused:
        seal(tmp_path, mixed(), datasets=defined)
    assert refused.value.remedy == "leave them out: --without-dataset c"
    assert list((tmp_path / "generations").iterdir()) == []
    manifest = seal(tmp_path, mixed(), SealPlan(without=("c",)), datasets=defined)
    assert manifest.left_out == {"of the dataset c": 2}
    assert [sealed.dataset.name for sealed in manifest.datasets] == ["a"]


@pytest.mark.parametrize("names", [("d",), ("c", "C"), ("",)])
def test_a_dataset_that_there_is_not_can_not_be_left_out(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(BaseSealError, match=f"no dataset {names[-1]}: none is defined so") as refused:
        seal(tmp_path, mixed(), SealPlan(without=names), datasets=DEFINED)
    assert "aerotile datasets list" in (refused.value.remedy or "")
    assert list((tmp_path / "generations").iterdir()) == []


def test_a_dataset_that_is_left_out_need_not_be_defined_where_tiles_are_of_it_nor_have_tiles_where_it_is(
    tmp_path: Path,
) -> None:
    manifest = seal(tmp_path, mixed(), SealPlan(without=("a", "b", "c")), datasets=(B, C))
    assert manifest.datasets == ()


def test_such_tiles_outside_the_area_refuse_nothing(tmp_path: Path) -> None:
    manifest = seal(
        tmp_path,
        mixed(),
        SealPlan(zooms=(12,)),
        datasets=tuple(attrs.evolve(each, may_be_stored_offline=False) for each in DEFINED),
    )
    assert (manifest.tiles, manifest.datasets) == (4, ())


def test_tiles_of_a_dataset_that_is_not_defined_refuse_the_seal_by_name(tmp_path: Path) -> None:
    with pytest.raises(BaseSealError, match=r"imported/9/3/5 is of the dataset a, which is not") as refused:
        seal(tmp_path, mixed(), datasets=(B, C))
    assert "--without-dataset a" in (refused.value.remedy or "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tiles": 0}, "tiles of a dataset"),
        ({"tiles": 8}, "tiles of a dataset"),
        ({"tiles": 6}, "tiles of all datasets"),
        ({"tiles": True}, "tiles of a dataset"),
        ({"name": "z"}, "ascend by name"),
        ({"name": "c"}, "ascend by name"),
        ({"name": "../a"}, "name has 1 to 64"),
        ({"licence": 7}, "licence"),
        ({"may_be_stored_offline": "yes"}, "may_be_stored_offline"),
        ({"digest_of": "guess"}, "guess"),
        ({"captured_at": 5}, "manifest"),
        ({"captured_at": "yesterday"}, "no date"),
        ({"another": 1}, "manifest"),
    ],
    ids=str,
)
def test_an_impossible_dataset_of_a_manifest_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    facts = json.loads(seal(tmp_path, mixed(), datasets=DEFINED).encode())
    facts["datasets"][0] |= change
    with pytest.raises(ValueError, match=message):
        decode_manifest(json.dumps(facts).encode())


def test_more_datasets_than_the_facts_tell_apart_refuse_the_seal(tmp_path: Path) -> None:
    many = tuple(dataset(f"{number:06d}") for number in range(MAX_DATASETS + 1))
    with pytest.raises(BaseSealError, match="65535"):
        seal(tmp_path, mixed(), datasets=many)


def test_facts_that_name_a_dataset_beyond_the_manifest_are_refused(tmp_path: Path) -> None:
    seal(tmp_path, mixed(), datasets=DEFINED)
    base = open_base(BaseGenerations(tmp_path), "000001", NOBODY, require_signature=False)
    listed: tuple[Dataset, ...] = ()
    without = attrs.evolve(base.signed, manifest=attrs.evolve(base.signed.manifest, datasets=listed))
    store = SealedTileStore(
        attrs.evolve(base, signed=without), judge=lambda tile_id, captured_us: pytest.fail("judged")
    )
    with pytest.raises(BaseUnavailableError, match="name dataset 1 of 0"):
        store.datasets_of([TileId(9, 3, 5, TileSource.IMPORTED)])
    assert store.datasets_of([TileId(12, 2000, 1500, TileSource.IMPORTED)]) == {
        TileId(12, 2000, 1500, TileSource.IMPORTED): None
    }
