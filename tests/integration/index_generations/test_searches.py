"""What was built into the descriptor index, as the next process opens and searches it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from index_builds import BUILT_AT, build, generation, nearest, tile, vectors

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.values.descriptors import DescriptorMetric, HnswParams, VectorStorage

FILES = ("tiles.index", "tiles.index.sha256", "tiles.meta.json", "tiles.rows", "tiles.descriptors")


def test_the_next_process_opens_what_was_built(built: Path) -> None:
    assert nearest(FaissDescriptorIndex(built)) == 100


def test_the_sidecar_satisfies_sha256sum(built: Path) -> None:
    subprocess.run(["sha256sum", "-c", "tiles.index.sha256"], cwd=generation(built), check=True)


def test_the_files_of_a_generation_are_read_only(built: Path) -> None:
    assert {(generation(built) / name).stat().st_mode & 0o777 for name in FILES} == {0o440}


def test_vectors_are_searched_inside_the_mapping_and_not_copied(root: Path) -> None:
    descriptors = np.random.default_rng(7).normal(size=(4000, 1024)).astype(np.float32)
    FaissDescriptorIndex(
        root, storage=VectorStorage.FLOAT32, params=HnswParams(m=8, ef_construction=20)
    ).rebuild([tile(number) for number in range(4000)], descriptors, descriptor_model="a", built_at=BUILT_AT)
    program = """
        import sys
        from pathlib import Path
        import numpy as np
        from aerotile.adapters.faiss import FaissDescriptorIndex

        def anonymous_kib():
            status = Path("/proc/self/status").read_text()
            return int(status.split("RssAnon:")[1].split()[0])

        before = anonymous_kib()
        index = FaissDescriptorIndex(Path(sys.argv[1]))
        index.search(np.ones(1024, np.float32), 10)
        print(anonymous_kib() - before)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), root], check=True, capture_output=True, text=True
    )
    size_kib = (generation(root) / "tiles.index").stat().st_size / 1024
    assert size_kib > 16_000
    assert int(finished.stdout) < size_kib / 4


def test_a_search_runs_on_its_callers_thread_alone(built: Path) -> None:
    program = """
        import os, sys
        from pathlib import Path
        import numpy as np
        from aerotile.adapters.faiss import FaissDescriptorIndex

        index = FaissDescriptorIndex(Path(sys.argv[1]), warm_up=False)
        before = len(os.listdir("/proc/self/task"))
        index.search(np.ones(16, np.float32), 10)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), built], check=True, capture_output=True, text=True
    )
    assert finished.stdout == "0\n"


def test_tiles_that_the_graph_does_not_reach_are_left_out_of_the_hits(root: Path) -> None:
    index = FaissDescriptorIndex(root, params=HnswParams(m=2, ef_construction=1), threads=1)
    build(index, count=500)
    hits = index.search(vectors(1)[0], 500)
    assert 1 <= len(hits) < 500
    assert len({hit.tile_id for hit in hits}) == len(hits)


def test_the_metric_of_the_generation_in_use_decides_a_search(root: Path) -> None:
    build(FaissDescriptorIndex(root, params=HnswParams(metric=DescriptorMetric.INNER_PRODUCT)))
    index = FaissDescriptorIndex(root, params=HnswParams(metric=DescriptorMetric.L2))
    assert index.metadata().metric is DescriptorMetric.INNER_PRODUCT
    query = vectors(1)[0]
    assert index.search(query, 1)[0].distance == pytest.approx(float((vectors(50) @ query).max()), rel=1e-2)
