"""Indexes that were made to deceive: their hashes agree. They are refused or answer; no process dies of one.

Each is opened and searched in a process of its own kind, whose end the test would see. `TEST_SEALED_INDEXES`
says how many are drawn by chance for each storage; a number that fails can be run again on its own:
`sealed_index_worker.py ROOT NUMBER NUMBER+1`.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from fault_tally import FaultTally
from sealed_index import seal

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.index_layout import Section, check_layout
from aerotile.domain.values.descriptors import DescriptorMetric, HnswParams, IndexKind, VectorStorage
from aerotile.domain.values.tiles import TileId, TileSource

NUMBER = int(os.environ.get("TEST_SEALED_INDEXES", "1000"))
WORKER = Path(__file__).with_name("sealed_index_worker.py")
COUNT, DIMENSION = 300, 12
BUILT_AT = datetime(2026, 5, 1, tzinfo=timezone.utc)
TILES = [TileId(18, number, 7, TileSource.SATELLITE_PROVIDER) for number in range(COUNT)]
VECTORS = np.random.default_rng(11).normal(size=(COUNT, DIMENSION)).astype(np.float32)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300 + NUMBER)]

KINDS = [
    (IndexKind.HNSW, VectorStorage.FLOAT16, DescriptorMetric.L2),
    (IndexKind.HNSW, VectorStorage.FLOAT32, DescriptorMetric.INNER_PRODUCT),
    (IndexKind.HNSW_SQ8, VectorStorage.FLOAT16, DescriptorMetric.L2),
]


def build(root: Path, kind: IndexKind, storage: VectorStorage, metric: DescriptorMetric) -> Path:
    # Few links make many layers, and many numbers of each byte class that decide.
    params = HnswParams(m=4, ef_construction=40, ef_search=16, metric=metric)
    FaissDescriptorIndex(root, params=params, storage=storage).rebuild(
        TILES, VECTORS, descriptor_model="a-network", built_at=BUILT_AT, kind=kind
    )
    return root


@pytest.mark.parametrize(("kind", "storage", "metric"), KINDS, ids=lambda value: str(value.value))
def test_no_process_dies_of_an_index_whose_hashes_agree(
    tmp_path: Path, kind: IndexKind, storage: VectorStorage, metric: DescriptorMetric, fault_tally: FaultTally
) -> None:
    good = build(tmp_path / "good", kind, storage, metric)
    ends: Counter[str] = Counter()
    died: list[str] = []
    first = 0
    while first < NUMBER:
        root = shutil.copytree(good, tmp_path / f"from-{first}")
        worker = subprocess.run(
            [sys.executable, str(WORKER), str(root), str(first), str(NUMBER)],
            env={**os.environ, "PYTHONPATH": f"{WORKER.parents[1]}:{os.environ.get('PYTHONPATH', '')}"},
            check=False,
            capture_output=True,
            text=True,
        )
        lines = [line.split() for line in worker.stdout.splitlines()]
        ends.update(end for _, end in lines if end != "begun")
        last = int(lines[-1][0])
        if worker.returncode != 0:
            died.append(f"number {last}: exit {worker.returncode} {worker.stderr.strip().splitlines()[-1:]}")
        first = last + 1
        shutil.rmtree(root)
    fault_tally.add("damage: sealed index", NUMBER, torn=len(died))
    assert not died, "\n".join(died)
    assert ends["refused"] > NUMBER // 3, ends
    assert ends["answered"] > NUMBER // 20, ends


def put(name: str, at: int, form: str, number: float) -> Callable[[bytearray, dict[str, Section]], None]:
    """Write a number into a byte class."""

    def act(content: bytearray, sections: dict[str, Section]) -> None:
        struct.pack_into(form, content, sections[name].begin + at, number)

    return act


def shorter_codes(content: bytearray, sections: dict[str, Section]) -> None:
    """The vectors end early, and their length says so: FAISS reads on behind them."""
    codes = sections["codes"]
    del content[codes.begin + 64 : codes.end]
    (items,) = struct.unpack_from("<Q", content, sections["codes length"].begin)
    struct.pack_into("<Q", content, sections["codes length"].begin, items * 64 // (codes.end - codes.begin))


def links_from_an_upper_layer_down(content: bytearray, sections: dict[str, Section]) -> None:
    """The links of the entry's highest layer lead to the last node, which may be on the lowest alone."""
    levels = np.frombuffer(content, "<i4", COUNT, sections["levels"].begin)
    offsets = np.frombuffer(content, "<u8", COUNT + 1, sections["offsets"].begin)
    ends = np.frombuffer(content, "<i4", 6, sections["layer_ends"].begin)
    (entry,) = struct.unpack_from("<i", content, sections["entry"].begin)
    low = int(np.flatnonzero(levels == 1)[-1])
    begin = int(offsets[entry]) + int(ends[levels[entry] - 1])
    for link in range(begin, int(offsets[entry]) + int(ends[levels[entry]])):
        struct.pack_into("<i", content, sections["links"].begin + 4 * link, low)


def search_from_a_layer_of_a_billion_links(content: bytearray, sections: dict[str, Section]) -> None:
    """No node is on it, so FAISS does not look whether its links are there, and reads on behind all."""
    ends = sections["layer_ends"]
    layers = (ends.end - ends.begin) // 4 - 1
    struct.pack_into("<i", content, ends.end - 8, 1 << 29)
    struct.pack_into("<i", content, ends.end - 4, 1 << 30)
    struct.pack_into("<i", content, sections["entry"].begin + 4, layers - 1)


def another_inner_index(content: bytearray, sections: dict[str, Section]) -> None:
    place = sections["graph magic"]
    content[place.begin : place.end] = b"IxLa"


FORGERIES = {
    "vectors cut short": (shorter_codes, "the vectors have"),
    "a layer of a billion links": (search_from_a_layer_of_a_billion_links, "would begin on layer"),
    "a layer that is not there": (put("entry", 4, "<i", 20), "would begin on layer 20"),
    "one layer too high": (put("entry", 4, "<i", 5), "would begin on layer 5"),
    "no entry": (put("entry", 0, "<i", -1), "at node -1"),
    "an entry behind the last node": (put("entry", 0, "<i", COUNT), f"at node {COUNT}"),
    "a link to nowhere": (put("links", 0, "<i", COUNT), "a node that is not there"),
    "a link below nowhere": (put("links", 0, "<i", -2), "a node that is not there"),
    "links that leave their layer": (links_from_an_upper_layer_down, "a node that is not on it"),
    "a node on no layer": (put("levels", 0, "<i", 0), "on no layer"),
    "a node above all": (put("levels", 0, "<i", 1 << 30), "on no layer"),
    "an offset behind the links": (put("offsets", 8, "<Q", 1 << 40), "the links of its layers"),
    "layers that shrink": (put("layer_ends", 4, "<i", 0), "do not grow"),
    "64 GiB of probabilities": (put("probabilities length", 0, "<Q", 1 << 33), "do not fit into the file"),
    "endless links": (put("links length", 0, "<Q", (1 << 64) - 1), "do not fit into the file"),
    "another dimension inside": (put("graph header", 0, "<i", 1 << 20), "the graph is of"),
    "another kind inside": (another_inner_index, "the graph begins as b'IxLa'"),
}


OPENING = """
import sys
from pathlib import Path
import numpy as np
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.domain.errors import IndexUnavailableError
for root in map(Path, sys.argv[1:]):
    try:
        index = FaissDescriptorIndex(root)
        print(root.name, index.search(np.ones(index.dimension(), np.float32), 5), flush=True)
    except IndexUnavailableError as error:
        print(root.name, error, flush=True)
"""


@pytest.mark.parametrize(("kind", "storage", "metric"), KINDS, ids=lambda value: str(value.value))
def test_each_forgery_is_refused_by_name(
    tmp_path: Path, kind: IndexKind, storage: VectorStorage, metric: DescriptorMetric, fault_tally: FaultTally
) -> None:
    good = build(tmp_path / "good", kind, storage, metric)
    roots = []
    for name, (forge, _) in FORGERIES.items():
        roots.append(Path(shutil.copytree(good, tmp_path / name.replace(" ", "-"))))
        folder = roots[-1] / "generations" / "000001"
        content = bytearray((folder / "tiles.index").read_bytes())
        forge(content, check_layout(bytes(content)))
        seal(folder, bytes(content), json.loads((folder / "tiles.meta.json").read_bytes()))
    opening = subprocess.run(
        [sys.executable, "-c", OPENING, *map(str, roots)], check=False, capture_output=True, text=True
    )
    lines = opening.stdout.splitlines()
    for (_, said), root, line in zip(FORGERIES.values(), roots, lines, strict=False):
        assert line.startswith(f"{root.name} ")
        assert "is no index of ours" in line
        assert said in line
    assert (opening.returncode, len(lines)) == (0, len(roots)), f"it died of the next one: {lines[-1:]}"
    fault_tally.add("damage: sealed index", len(roots))
