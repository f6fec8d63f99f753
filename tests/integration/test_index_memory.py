"""How much memory a build takes: what is promised, what is taken, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, overload

import numpy as np
import pytest

from aerotile.adapters.available_memory import available_memory_bytes
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.build_memory import build_memory_bytes
from aerotile.adapters.faiss.kinds import kind_for
from aerotile.domain.errors import IndexBuildError
from aerotile.domain.values.descriptors import HnswParams, IndexKind, VectorStorage
from aerotile.domain.values.tiles import TileId

BUILT_AT = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
MEMINFO = "MemTotal:       8000 kB\nMemFree:        100 kB\nMemAvailable:   6000 kB\n"


class Countless(Sequence[TileId]):
    """More tiles than any machine has memory for."""

    def __len__(self) -> int:
        return 10**10

    @overload
    def __getitem__(self, place: int) -> TileId: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[TileId]: ...
    def __getitem__(self, place: Any) -> Any:
        raise AssertionError("nobody should look at them")


PEAK_OF_A_BUILD = """
    import sys, threading
    from datetime import datetime, timezone
    from pathlib import Path
    import numpy as np
    from aerotile.adapters.faiss import FaissDescriptorIndex
    from aerotile.domain.values.descriptors import HnswParams, VectorStorage
    from aerotile.domain.values.tiles import TileId, TileSource

    def anonymous():
        return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) * 1024

    count, dimension = 70_000, 512
    rows = np.lib.format.open_memmap(sys.argv[2], "w+", np.float32, (count, dimension))
    rng = np.random.default_rng(5)
    for start in range(0, count, 1000):
        rows[start : start + 1000] = rng.normal(size=(1000, dimension))
    rows.flush()
    rows = np.load(sys.argv[2], mmap_mode="r")
    tiles = [TileId(18, x, 7, TileSource.IMPORTED) for x in range(count)]
    params, storage = HnswParams(m=4, ef_construction=4), VectorStorage.FLOAT32
    index = FaissDescriptorIndex(Path(sys.argv[1]), params=params, storage=storage)

    before, peak, ended = anonymous(), 0, threading.Event()
    def watch():
        global peak
        while not ended.wait(0.001):
            peak = max(peak, anonymous() - before)
    watcher = threading.Thread(target=watch)
    watcher.start()
    index.rebuild(tiles, rows, descriptor_model="a", built_at=datetime.now(timezone.utc))
    ended.set()
    watcher.join()
    print(peak, index.build_memory_bytes(count, dimension))
"""


def test_a_build_from_a_mapped_file_stays_below_the_bound_that_it_states(tmp_path: Path) -> None:
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(PEAK_OF_A_BUILD),
            str(tmp_path / "index"),
            str(tmp_path / "descriptors.npy"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    peak, bound = map(int, finished.stdout.split())
    assert 0.6 * bound < peak <= bound


def test_a_build_that_no_machine_has_memory_for_is_refused_before_it_starts(tmp_path: Path) -> None:
    descriptors = np.broadcast_to(np.zeros(512, np.float32), (10**10, 512))
    root = tmp_path / "index"
    with pytest.raises(
        IndexBuildError, match=r"takes up to \d+ MiB of memory to build, \d+ MiB are"
    ) as refused:
        FaissDescriptorIndex(root).rebuild(
            Countless(), descriptors, descriptor_model="a-network", built_at=BUILT_AT
        )
    assert refused.value.remedy is not None
    assert not root.exists()


def test_the_bound_holds_vectors_links_and_tiles() -> None:
    params = HnswParams(m=32)
    half = build_memory_bytes(1_000_000, 512, params, VectorStorage.FLOAT16, 4)
    whole = build_memory_bytes(1_000_000, 512, params, VectorStorage.FLOAT32, 4)
    assert whole - half == 1_000_000 * 512 * 2
    wider = build_memory_bytes(1_000_000, 512, HnswParams(m=64), VectorStorage.FLOAT16, 4)
    assert wider - half == pytest.approx(1_000_000 * 64 * 4, rel=1e-3)
    twice = build_memory_bytes(2_000_000, 512, params, VectorStorage.FLOAT16, 4)
    assert twice - half > 1_000_000 * (512 * 2 + 64 * 4)


def test_a_graph_over_bytes_takes_half_of_the_vectors_and_what_its_quantizer_learns_from() -> None:
    params = HnswParams(m=32)
    whole = build_memory_bytes(1_000_000, 512, params, VectorStorage.FLOAT16, 4, IndexKind.HNSW)
    codes = build_memory_bytes(1_000_000, 512, params, VectorStorage.FLOAT16, 4, IndexKind.HNSW_SQ8)
    assert whole - codes == 1_000_000 * (512 - 16) - 2 * 16_384 * 512 * 4


@pytest.mark.parametrize(
    ("count", "dimension", "kind"),
    [
        (6_500_000, 512, IndexKind.HNSW),  # 7.9 GiB
        (6_700_000, 512, IndexKind.HNSW_SQ8),  # 8.1 GiB
        (10_000_000, 128, IndexKind.HNSW),
        (1, 1, IndexKind.HNSW),
    ],
)
def test_the_kind_is_chosen_by_the_size_of_the_graph_alone(
    count: int, dimension: int, kind: IndexKind
) -> None:
    assert kind_for(count, dimension, HnswParams(), VectorStorage.FLOAT16) is kind


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(MEMINFO)
    return path


def test_the_machine_says_how_much_memory_is_available(meminfo: Path, tmp_path: Path) -> None:
    assert available_memory_bytes(meminfo, tmp_path / "none") == 6000 * 1024


def test_a_container_s_limit_counts_when_it_is_lower(meminfo: Path, tmp_path: Path) -> None:
    group = tmp_path / "group"
    group.mkdir()
    (group / "memory.max").write_text("3000000\n")
    (group / "memory.current").write_text("1000000\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 200000\n")
    assert available_memory_bytes(meminfo, group) == 2_200_000
    (group / "memory.max").write_text("max\n")
    assert available_memory_bytes(meminfo, group) == 6000 * 1024


def test_a_container_s_limit_counts_under_the_first_version_of_control_groups_too(
    meminfo: Path, tmp_path: Path
) -> None:
    group = tmp_path / "group" / "memory"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("3000000\n")
    (group / "memory.usage_in_bytes").write_text("1000000\n")
    (group / "memory.stat").write_text("total_inactive_file 200000\n")
    assert available_memory_bytes(meminfo, tmp_path / "group") == 2_200_000


def test_a_kernel_that_says_nothing_refuses_nothing(tmp_path: Path) -> None:
    assert available_memory_bytes(tmp_path / "none", tmp_path / "none") is None
