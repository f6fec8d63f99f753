"""The size of a build by its model, beside builds that were measured: docs/scale.md."""

from __future__ import annotations

import pytest
from harness.build_squares import blocks_of_a_square

from aerotile.domain.build_sizes import build_size

MEASURED = {8_492: (41, 1), 139_364: (458, 5), 408_274: (1_290, 13), 1_017_610: (3_109, 31)}
"""By tiles: blocks and shards."""


@pytest.mark.parametrize("tiles", MEASURED)
def test_blocks_and_shards_of_builds_that_were_measured(tiles: int) -> None:
    blocks, shards = MEASURED[tiles]
    assert blocks_of_a_square(tiles) == pytest.approx(blocks, rel=0.04, abs=4)
    size = build_size(
        tiles=tiles, blocks=blocks, jpeg_bytes=0, rows_a_tile=1, dimension=16, component_bytes=2
    )
    assert size.shards - shards in (0, 1)  # a shard ends with a block, so it holds a little more
    assert size.tasks == 2 * blocks + size.shards + 1


def test_bytes_of_a_build_whose_files_were_measured() -> None:
    size = build_size(tiles=674, blocks=4, jpeg_bytes=572_198, rows_a_tile=1, dimension=16, component_bytes=2)
    found = (size.tile_bytes, size.descriptor_bytes, size.shard_bytes)
    assert found == pytest.approx((614_878, 50_085, 27_320), rel=1e-3)
    assert size.work_bytes == sum(found)


def test_a_build_without_an_index_has_no_descriptors() -> None:
    size = build_size(tiles=1_000, blocks=5, jpeg_bytes=10_000, rows_a_tile=0, dimension=0, component_bytes=2)
    assert (size.descriptors, size.shards, size.tasks, size.descriptor_bytes, size.shard_bytes) == (
        0,
        0,
        5,
        0,
        0,
    )
    assert blocks_of_a_square(1) == 1
