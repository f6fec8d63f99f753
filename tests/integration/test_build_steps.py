"""The steps of a build: what an earlier run left is held to what this one asks for."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest

from aerotile.adapters.build_files.block_file import write_block
from aerotile.adapters.build_files.cut_tiles import ROW
from aerotile.adapters.build_files.work_folder import identity_of, place_of
from aerotile.adapters.composition.build_steps import DescribeJob, describe
from aerotile.adapters.config.settings import DescriptorConfig
from aerotile.domain.build_blocks import BlockFile
from aerotile.domain.errors import BaseSealError, IndexBuildError
from aerotile.domain.values.descriptors import VectorStorage
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource

TILE = TileId(5, 3, 0, TileSource.IMPORTED)


def test_descriptors_of_an_earlier_run_that_the_storage_of_this_one_can_not_hold_are_refused(
    tmp_path: Path,
) -> None:
    job = DescribeJob(
        identity="a",
        work=str(tmp_path),
        settings=DescriptorConfig(),
        digest="b",
        headings=(0,),
        batch=1,
        dimension=4,
        tile_size=64,
        storage=VectorStorage.FLOAT32,
    )
    tiles = BlockFile(str(tmp_path / "tiles"), "c", 1, ())
    arrays = {
        "keys": np.array([encode_tile_key(TILE, VariantTable())], np.int64),
        "vectors": np.full((1, 4), 70_000, np.float32),
    }
    path = place_of(job.work, "descriptors", identity_of([job.identity, tiles.digest]))
    write_block(path, {"counts": {"described": 1, "refused": 0}, "refusals": []}, arrays)
    assert describe(job, tiles).taken_over
    with pytest.raises(IndexBuildError, match="component of 70000 does not fit into float16"):
        describe(attrs.evolve(job, storage=VectorStorage.FLOAT16), tiles)


def test_a_machine_with_another_network_than_the_build_began_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "newer_network.py").write_text(
        f"def describe(pictures): ...\ndescribe.digest = {'0' * 64!r}\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    arrays = {"rows": np.zeros(1, ROW), "pixels": np.empty(0, np.uint8)}
    path = tmp_path / "tiles"
    tiles = BlockFile(str(path), write_block(path, {"counts": {}, "refusals": []}, arrays), 1, ())
    job = DescribeJob(
        identity="another network",
        work=str(tmp_path),
        settings=DescriptorConfig(callable="newer_network:describe"),
        digest="1" * 64,
        headings=(0,),
        batch=1,
        dimension=4,
        tile_size=64,
        storage=VectorStorage.FLOAT32,
    )
    with pytest.raises(BaseSealError, match=r"describe-0{16} is not the network that the build began with"):
        describe(job, tiles)
