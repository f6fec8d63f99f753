"""The index files of a base: by what docs/base.md says, and the same however the source was built."""

from __future__ import annotations

import base64
import json
import re
import struct
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np
import pytest
from sealed_bases import CAPTURED_AT, FLIGHTS, imported, source_of, tile, writer_of

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.build import build_index
from aerotile.adapters.faiss.sealed_index import SealedDescriptorIndex
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.manifest import BaseManifest
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.domain.errors import IndexBuildError, IndexUnavailableError
from aerotile.domain.values.areas import Area
from aerotile.domain.values.descriptors import DescriptorMetric, HnswParams, IndexKind, VectorStorage
from aerotile.domain.values.tile_key import decode_tile_key
from aerotile.domain.values.tiles import TileId, TileSource, VotingStatus

PAGE = (Path(__file__).parents[2] / "docs" / "base.md").read_text(encoding="utf-8")
DIMENSION = 8
TAKEN = [
    *(imported(14, 2000 + x, 1500) for x in range(600)),
    *(tile(TileId(13, 4, n, TileSource.ONBOARD, FLIGHTS[n]), vote=VotingStatus.TRUSTED) for n in (1, 0)),
]
LEFT_OUT = [TileId(13, 9, 9, TileSource.ONBOARD, FLIGHTS[0]), TileId(3, 1, 1, TileSource.IMPORTED)]
# The index knows the flights in another order than the base, and one tile by three descriptors.
INDEXED = [LEFT_OUT[0], *(row.tile_id for row, _ in reversed(TAKEN)), LEFT_OUT[1], *[TAKEN[7][0].tile_id] * 2]
VECTORS = np.random.default_rng(11).normal(size=(len(INDEXED), DIMENSION)).astype(np.float32)


def build(root: Path, *, threads: int = 1, **named: Any) -> FaissDescriptorIndex:
    index = FaissDescriptorIndex(root, threads=threads, warm_up=False, **named)
    index.rebuild(INDEXED, VECTORS, descriptor_model="net", built_at=CAPTURED_AT)
    return index


def seal(root: Path, index: FaissDescriptorIndex) -> BaseManifest:
    source = attrs.evolve(source_of(TAKEN), write_index=writer_of(index))
    return BaseGenerations(root).seal(source, SealPlan(take_onboard=True))


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "generations/000001").iterdir()}


def section(name: str) -> str:
    """What the page says under the heading that begins with `name`."""
    return PAGE.partition(f"\n### {name}")[2].partition("\n### ")[0]


def test_the_page_names_every_member_of_the_manifest_and_of_the_index_s_metadata(tmp_path: Path) -> None:
    seal(tmp_path / "base", build(tmp_path / "index"))
    files = contents(tmp_path / "base")
    manifest = json.loads(base64.b64decode(json.loads(files["manifest.json"])["payload"]))
    metadata = json.loads(files["tiles.meta.json"])
    for members, of in (
        ({*manifest, *manifest["index"], *manifest["files"]["facts"]}, "`manifest.json`"),
        (set(metadata), "`tiles.rows`"),
    ):
        named = set(re.findall(r"`(\w+)`", section(of)))
        assert members <= named, members - named


@pytest.mark.parametrize("storage", VectorStorage)
def test_every_descriptor_is_found_under_its_tile_by_what_the_page_says(
    tmp_path: Path, storage: VectorStorage
) -> None:
    manifest = seal(tmp_path / "base", build(tmp_path / "index", storage=storage))
    files = contents(tmp_path / "base")
    magic, version, rows_per_block, rows = struct.unpack_from("<8sIIQ", files["tiles.rows"])
    assert (magic, version, rows) == (b"AEROROWS", 1, len(TAKEN) + 2)
    inverted_file = files["tiles.descriptors"][:4].decode()
    assert inverted_file == {VectorStorage.FLOAT16: "IwSq", VectorStorage.FLOAT32: "IwFl"}[storage]
    assert f"`{inverted_file}`" in section("`tiles.rows`")
    assert files["tiles.index"][:4] == b"IxM2"
    keys = struct.unpack_from(f"<{rows}q", files["tiles.rows"], 24)
    assert list(keys) == sorted(keys)
    component = "<f2" if storage is VectorStorage.FLOAT16 else "<f4"
    row_bytes = DIMENSION * int(component[2])
    at = len(files["tiles.descriptors"]) - rows * (row_bytes + 8)
    found = []
    for first in range(0, rows, rows_per_block):
        count = min(rows_per_block, rows - first)
        block = np.frombuffer(files["tiles.descriptors"], component, count * DIMENSION, at)
        numbers = struct.unpack_from(f"<{count}q", files["tiles.descriptors"], at + count * row_bytes)
        assert list(numbers) == list(range(first, first + count))
        at += count * (row_bytes + 8)
        tiles = [decode_tile_key(key, manifest.variants) for key in keys[first : first + count]]
        found += [(str(t), v.tobytes()) for t, v in zip(tiles, block.reshape(count, -1), strict=True)]
    taken = {row.tile_id for row, _ in TAKEN}
    stored = VECTORS.astype(component)
    assert sorted(found) == sorted(
        (str(tile_id), vector.tobytes())
        for tile_id, vector in zip(INDEXED, stored, strict=True)
        if tile_id in taken
    )
    index = manifest.index
    assert index is not None
    assert (index.descriptors, index.tiles, index.dropped) == (len(TAKEN) + 2, len(TAKEN), 2)


def test_the_files_are_the_same_however_many_threads_built_the_index(tmp_path: Path) -> None:
    for name, threads in (("one", 1), ("four", 4)):
        seal(tmp_path / name, build(tmp_path / f"index-{name}", threads=threads))
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


@pytest.mark.parametrize("kind", IndexKind)
def test_a_graph_is_the_same_however_many_threads_linked_it(kind: IndexKind) -> None:
    count = 5_000  # FAISS is given a thread for each thousand
    vectors = np.random.default_rng(3).normal(size=(count, 8)).astype(np.float32)
    keys = np.random.default_rng(4).permutation(count).astype(np.int64)
    graphs = {
        faiss.serialize_index(
            build_index(
                keys,
                vectors,
                HnswParams(m=8, ef_construction=40),
                VectorStorage.FLOAT16,
                kind=kind,
                threads=threads,
                progress=None,
            )
        ).tobytes()
        for threads in (1, 2, 3, 5)
    }
    assert len(graphs) == 1


@pytest.mark.parametrize("metric", DescriptorMetric)
def test_both_searches_of_a_sealed_index_answer_as_its_source_does_for_the_tiles_taken(
    tmp_path: Path, metric: DescriptorMetric
) -> None:
    source = build(tmp_path / "index", params=HnswParams(metric=metric, ef_search=700))
    manifest = seal(tmp_path / "base", source)
    assert manifest.index is not None
    sealed = SealedDescriptorIndex(
        tmp_path / "base/generations/000001", manifest.index.metadata_sha256, ef_search=700, warm_up=True
    )
    around = Area.around(*TAKEN[300][0].tile_id.centre, radius_m=20_000.0)
    for vector in VECTORS[::50]:
        expected = [hit for hit in source.search(vector, 12) if hit.tile_id not in LEFT_OUT][:10]
        assert sealed.search(vector, 10) == expected
        assert sealed.search_within(vector, 10, around) == source.search_within(vector, 10, around)
    assert sealed.dimension() == DIMENSION
    keys, variants = sealed.tile_keys()
    assert {decode_tile_key(int(key), variants) for key in keys} == {row.tile_id for row, _ in TAKEN}
    sealed.close()
    with pytest.raises(IndexUnavailableError, match="is closed"):
        sealed.search(VECTORS[0], 1)


def test_a_damaged_source_ends_the_seal(tmp_path: Path) -> None:
    index = build(tmp_path / "index")
    path = tmp_path / "index/generations/000001/tiles.descriptors"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.unlink()
    path.write_bytes(content)
    index = FaissDescriptorIndex(tmp_path / "index", warm_up=False)
    with pytest.raises(IndexUnavailableError, match=r"tiles\.descriptors is damaged between"):
        seal(tmp_path / "base", index)
    assert not BaseGenerations(tmp_path / "base").names()


def test_a_seal_that_no_machine_has_memory_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build(tmp_path / "index")
    monkeypatch.setattr("aerotile.adapters.faiss.builder.available_memory_bytes", lambda: 1 << 20)
    with pytest.raises(IndexBuildError, match="of memory to build"):
        seal(tmp_path / "base", index)
