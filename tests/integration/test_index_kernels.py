"""Which of FAISS's kernels a process searches with, and that they all find the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any

import faiss
import numpy as np
import pytest

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.values.descriptors import VectorStorage
from aerotile.domain.values.tiles import TileId, TileSource

_faiss: Any = faiss
COUNT, DIMENSION = 400, 96
LEVELS = [
    level
    for level in ("NONE", "AVX2", "AVX512", "AVX512_SPR", "ARM_NEON", "ARM_SVE")
    if _faiss.SIMDConfig.is_simd_level_available(getattr(_faiss, f"SIMDLevel_{level}"))
]
"""What this processor has."""
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from aerotile.adapters.faiss import FaissDescriptorIndex
import faiss
index = FaissDescriptorIndex(Path(sys.argv[1]))
found = [index.search(query, 5) for query in np.load(sys.argv[2])]
print(json.dumps({
    "level": faiss.SIMDConfig.get_level_name(),
    "tiles": [[hit.tile_id.x for hit in hits] for hits in found],
    "distances": [[float(hit.distance) for hit in hits] for hits in found],
}))
"""


@pytest.fixture(scope="module", params=[VectorStorage.FLOAT16, VectorStorage.FLOAT32])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The folder of an index, and the file of queries for it."""
    root = tmp_path_factory.mktemp("kernels")
    descriptors = np.random.default_rng(11).normal(size=(COUNT, DIMENSION)).astype(np.float32)
    FaissDescriptorIndex(root / "index", storage=request.param).rebuild(
        [TileId(18, number, 7, TileSource.SATELLITE_PROVIDER) for number in range(COUNT)],
        descriptors,
        descriptor_model="a-network",
        built_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
    )
    np.save(root / "queries.npy", descriptors[::20] + np.float32(0.1))
    return str(root / "index"), str(root / "queries.npy")


def searched(asked: tuple[str, str], level: str | None) -> dict[str, Any]:
    """What a process finds whose environment names the level, or none."""
    environment = {name: value for name, value in os.environ.items() if name != "FAISS_SIMD_LEVEL"}
    if level is not None:
        environment["FAISS_SIMD_LEVEL"] = level
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *asked], env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_process_searches_with_the_kernels_that_compare_four_at_a_time(asked: tuple[str, str]) -> None:
    found = searched(asked, None)
    assert found["level"] != "AVX512_SPR"
    if "AVX512_SPR" in LEVELS:
        assert found["level"] == "AVX512"
    assert [tiles[0] for tiles in found["tiles"]] == list(range(0, COUNT, 20))


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_that_the_environment_names_stays_and_finds_the_same(
    asked: tuple[str, str], level: str
) -> None:
    found = searched(asked, level)
    chosen = searched(asked, None)
    assert found["level"] == level
    assert found["tiles"] == chosen["tiles"]
    np.testing.assert_allclose(found["distances"], chosen["distances"], rtol=1e-4)
    if level in ("AVX512", "AVX512_SPR") and chosen["level"] == "AVX512":
        assert found["distances"] == chosen["distances"]  # the choice changes no answer
