"""The place-ordered descriptors of a generation: as promised, and refused block by block where damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from index_builds import BUILT_AT, DIMENSION, build, generation, nearest, tile, vectors

from aerotile.adapters.faiss import FaissDescriptorIndex, kinds
from aerotile.adapters.faiss import build as build_module
from aerotile.adapters.faiss.mapped_index import sidecar_content
from aerotile.adapters.faiss.metadata_file import decode_metadata, encode_metadata
from aerotile.adapters.faiss.place_order import BlockLayout, PlaceOrderError, RowsFile
from aerotile.domain.errors import IndexBuildError, IndexUnavailableError
from aerotile.domain.values.areas import Area
from aerotile.domain.values.descriptors import DescriptorMetric, HnswParams, IndexKind, VectorStorage
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId

COUNT = 600  # three blocks, the last one shorter
EVERYWHERE = Area((Bbox(-90, -180, 90, 180),))
QUERY = vectors(1)[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(FaissDescriptorIndex(tmp_path), count=COUNT)
    return tmp_path


def change(path: Path, at: int, to: Callable[[int], int] = lambda byte: byte ^ 1) -> None:
    content = bytearray(path.read_bytes())
    content[at] = to(content[at])
    path.chmod(0o640)
    path.write_bytes(content)


def layout() -> BlockLayout:
    return BlockLayout(COUNT, DIMENSION, VectorStorage.FLOAT16, DescriptorMetric.L2)


def tile_in_block(number: int) -> TileId:
    variants = VariantTable()
    rows = sorted(range(COUNT), key=lambda row: encode_tile_key(tile(row), variants))
    return tile(rows[number * 256 + 10])


def in_block(number: int) -> Area:
    """The ground of a tile of a block, and of no tile of another one."""
    box = tile_in_block(number).bbox
    lat, lon = (box.min_lat + box.max_lat) / 2, (box.min_lon + box.max_lon) / 2
    return Area((Bbox(lat, lon, lat, lon),))


def test_rows_lie_in_the_order_of_their_keys_and_the_file_is_as_long_as_promised(root: Path) -> None:
    rows = RowsFile.decode((generation(root) / "tiles.rows").read_bytes())
    assert rows.keys.tolist() == sorted(encode_tile_key(tile(row), VariantTable()) for row in range(COUNT))
    content = (generation(root) / "tiles.descriptors").read_bytes()
    assert len(content) == layout().file_bytes
    for number in range(layout().blocks):
        begin, end = layout().block(number)
        assert hashlib.sha256(content[begin:end]).digest() == rows.digests[number].tobytes()
    begin, _ = layout().block(0)
    first = min(range(COUNT), key=lambda row: encode_tile_key(tile(row), VariantTable()))
    stored = np.frombuffer(content, "<f2", DIMENSION, begin)
    assert stored.tolist() == vectors(COUNT)[first].astype(np.float16).tolist()


@pytest.mark.parametrize("offset", [0, 7, 8, 20, 100, -1])
def test_a_header_that_is_not_the_one_of_these_rows_is_refused(root: Path, offset: int) -> None:
    at = offset if offset >= 0 else len(layout().header) - 1
    change(generation(root) / "tiles.descriptors", at)
    with pytest.raises(IndexUnavailableError, match=r"tiles\.descriptors"):
        FaissDescriptorIndex(root)


@pytest.mark.parametrize("cut", [1, 1_000, 50_000])
def test_a_file_cut_short_is_refused(root: Path, cut: int) -> None:
    path = generation(root) / "tiles.descriptors"
    content = path.read_bytes()
    path.chmod(0o640)
    path.write_bytes(content[: len(content) - min(cut, len(content) - 1)])
    with pytest.raises(IndexUnavailableError, match=r"tiles\.descriptors"):
        FaissDescriptorIndex(root)


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("end_of_block", [False, True])
def test_a_damaged_block_is_refused_and_the_others_answer(
    root: Path, damaged: int, end_of_block: bool
) -> None:
    begin, end = layout().block(damaged)
    change(generation(root) / "tiles.descriptors", end - 1 if end_of_block else begin)  # a number, a vector
    index = FaissDescriptorIndex(root)
    assert nearest(index) == 0
    for number in range(3):
        if number == damaged:
            for _ in range(2):
                with pytest.raises(IndexUnavailableError, match=f"damaged between bytes {begin} and {end}"):
                    index.search_within(QUERY, 1, in_block(number))
        else:
            assert len(index.search_within(QUERY, 1, in_block(number))) == 1
    with pytest.raises(IndexUnavailableError, match="damaged"):
        index.search_within(QUERY, 1, EVERYWHERE)


@pytest.mark.parametrize("at", [0, 9, 13, 17, 30, -1])
def test_a_damaged_table_of_rows_is_refused(root: Path, at: int) -> None:
    path = generation(root) / "tiles.rows"
    change(path, at if at >= 0 else path.stat().st_size - 1)
    with pytest.raises(IndexUnavailableError, match=r"tiles\.rows"):
        FaissDescriptorIndex(root)


def test_a_table_of_rows_is_checked_before_a_number_in_it_is_used(root: Path) -> None:
    content = (generation(root) / "tiles.rows").read_bytes()
    rows = RowsFile.decode(content)
    assert rows.encode() == content
    unsorted = RowsFile(rows.keys[::-1].copy(), rows.digests, rows.rows_per_block).encode()
    for forged in (b"", content[:10], content[:-1], content + b"\0", b"X" + content[1:], unsorted):
        with pytest.raises(PlaceOrderError):
            RowsFile.decode(forged)
    for at in range(8, 24):  # version, rows per block, rows
        with pytest.raises(PlaceOrderError):
            RowsFile.decode(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])


@pytest.mark.parametrize("missing", ["tiles.rows", "tiles.descriptors"])
def test_a_missing_file_is_named(root: Path, missing: str) -> None:
    (generation(root) / missing).unlink()
    with pytest.raises(IndexUnavailableError, match=missing.replace(".", r"\.")):
        FaissDescriptorIndex(root)


@pytest.fixture
def of_before(root: Path) -> Path:
    """An index as it was built before there were place-ordered descriptors."""
    folder = generation(root)
    for name in ("tiles.rows", "tiles.descriptors"):
        (folder / name).unlink()
    path = folder / "tiles.meta.json"
    facts = json.loads(path.read_bytes())
    del facts["rows_sha256"], facts["kind"]
    path.chmod(0o640)
    path.write_text(json.dumps(facts))
    sidecar = folder / "tiles.index.sha256"
    sidecar.chmod(0o640)
    hashes = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in ("tiles.index", path.name)}
    sidecar.write_bytes(sidecar_content(hashes))
    return root


def test_an_index_of_before_answers_by_its_graph_and_says_what_it_lacks(of_before: Path) -> None:
    index = FaissDescriptorIndex(of_before)
    assert nearest(index) == 0
    with pytest.raises(IndexUnavailableError, match="was built before searches within an area") as refused:
        index.search_within(QUERY, 1, EVERYWHERE)
    assert "without a file" in str(refused.value.remedy)
    assert index.metadata().rows_sha256 is None


@pytest.mark.parametrize("kind", IndexKind)
def test_what_an_index_of_before_lacks_is_made_from_its_descriptors(of_before: Path, kind: IndexKind) -> None:
    index = FaissDescriptorIndex(of_before)
    before = index.metadata()
    assert [each.count for each in index.estimates()] == [COUNT, COUNT]
    built = index.rebuild_kept(built_at=BUILT_AT, kind=kind)
    assert (built.kind, built.count, built.storage) == (kind, before.count, before.storage)
    assert index.search_within(QUERY, 1, EVERYWHERE)[0].tile_id == tile(0)
    anew = FaissDescriptorIndex(of_before.with_name("anew"))
    build(anew, count=COUNT)
    for query in vectors(COUNT)[::50]:  # the very numbers that a build from the file would store
        assert index.search_within(query, 5, EVERYWHERE) == anew.search_within(query, 5, EVERYWHERE)
        assert index.search(query, 1)[0].tile_id == anew.search(query, 1)[0].tile_id


def test_the_kind_for_kept_descriptors_is_chosen_by_how_they_are_stored(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_float16 = kinds.graph_file_bytes(COUNT, DIMENSION, HnswParams(), VectorStorage.FLOAT16, IndexKind.HNSW)
    monkeypatch.setattr(kinds, "LARGEST_WHOLE_GRAPH_BYTES", as_float16)
    index = FaissDescriptorIndex(root, storage=VectorStorage.FLOAT32)  # what a build from a file would store
    assert [each.kind for each in index.estimates() if each.chosen] == [IndexKind.HNSW]
    built = index.rebuild_kept(built_at=BUILT_AT)
    assert (built.kind, built.storage) == (IndexKind.HNSW, VectorStorage.FLOAT16)


@pytest.mark.parametrize("shape", [(0, DIMENSION), (5, 0)])
def test_an_estimate_of_nothing_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    with pytest.raises(IndexBuildError, match="nothing to index"):
        FaissDescriptorIndex(tmp_path).estimates(np.empty(shape, np.float32))


def test_kept_descriptors_that_are_damaged_end_a_build_from_them(root: Path) -> None:
    index = FaissDescriptorIndex(root)
    change(generation(root) / "tiles.descriptors", layout().block(1)[0])
    with pytest.raises(IndexUnavailableError, match=r"tiles\.descriptors is damaged"):
        index.rebuild_kept(built_at=BUILT_AT)
    assert index.generations.names() == ["000001"]
    assert nearest(index) == 0


def test_a_build_from_kept_descriptors_undoes_no_build_of_another_process(root: Path) -> None:
    index, other = FaissDescriptorIndex(root), FaissDescriptorIndex(root)
    build(other, first_tile=1_000, count=COUNT)
    with pytest.raises(IndexBuildError, match="generation 000002 was put in use"):
        index.rebuild_kept(built_at=BUILT_AT)
    assert index.generations.names() == ["000001", "000002"]
    assert nearest(FaissDescriptorIndex(root)) == 1_000


@pytest.mark.parametrize("kind", IndexKind)
def test_a_rebuild_from_kept_descriptors_gives_the_files_that_a_sealed_order_gives(
    root: Path, kind: IndexKind
) -> None:
    index = FaissDescriptorIndex(root, threads=1)
    first = index.rebuild_kept(built_at=BUILT_AT, kind=kind)
    second = index.rebuild_kept(built_at=BUILT_AT, kind=kind)
    assert (first.sha256, first.rows_sha256) == (second.sha256, second.rows_sha256)


def test_a_graph_over_codes_and_rows_of_other_tiles_are_refused(root: Path) -> None:
    index = FaissDescriptorIndex(root)
    index.rebuild_kept(built_at=BUILT_AT, kind=IndexKind.HNSW_SQ8)
    other = FaissDescriptorIndex(root.with_name("other"))
    build(other, first_tile=5_000, count=COUNT)
    other.rebuild_kept(built_at=BUILT_AT, kind=IndexKind.HNSW_SQ8)
    here, there = generation(root), generation(root.with_name("other"))
    metadata, digests = decode_metadata((here / "tiles.meta.json").read_bytes())
    foreign, _ = decode_metadata((there / "tiles.meta.json").read_bytes())
    for name in ("tiles.rows", "tiles.descriptors"):
        (here / name).unlink()
        (here / name).write_bytes((there / name).read_bytes())
    content = encode_metadata(attrs.evolve(metadata, rows_sha256=foreign.rows_sha256), digests)
    hashes = {"tiles.index": metadata.sha256, "tiles.meta.json": hashlib.sha256(content).hexdigest()}
    for name, written in (("tiles.meta.json", content), ("tiles.index.sha256", sidecar_content(hashes))):
        (here / name).unlink()
        (here / name).write_bytes(written)
    with pytest.raises(IndexUnavailableError, match="not of the same rows"):
        FaissDescriptorIndex(root)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("metric", DescriptorMetric)
@pytest.mark.parametrize("kind", IndexKind)
def test_a_query_as_long_as_any_finds_the_tile_of_the_area(
    tmp_path: Path, metric: DescriptorMetric, kind: IndexKind
) -> None:
    index = FaissDescriptorIndex(tmp_path, params=HnswParams(metric=metric))
    build(index, count=COUNT)
    index.rebuild_kept(built_at=BUILT_AT, kind=kind)
    for sign in (1, -1):
        query = np.full(DIMENSION, sign * 0.99e18 / DIMENSION**0.5, np.float32)
        assert [hit.tile_id for hit in index.search_within(query, 1, in_block(1))] == [tile_in_block(1)]
        assert len(index.search(query, 5)) == 5
    for component in (3e38, -3e38):
        with pytest.raises(ValueError, match="or less, got"):
            index.search_within(np.full(DIMENSION, component, np.float32), 1, in_block(1))
    index.close()


def test_searches_within_areas_go_on_while_a_rebuild_takes_their_generation_away(tmp_path: Path) -> None:
    index = FaissDescriptorIndex(tmp_path, params=HnswParams(), keep_generations=0)
    build(index, count=COUNT)
    under_way = index._in_use().areas  # what a search holds that began before the rebuild
    assert under_way is not None
    build(index, first_tile=1_000, count=COUNT)
    assert index.generations.names() == ["000002"]
    assert under_way.nearest(QUERY, 1, EVERYWHERE)[0].tile_id == tile(0)
    assert index.search_within(QUERY, 1, EVERYWHERE)[0].tile_id == tile(1_000)


def test_a_build_whose_descriptors_do_not_read_back_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = build_module.write_place_ordered

    def write_badly(folder: Path, *arguments: Any, **named: Any) -> RowsFile:
        rows = write(folder, *arguments, **named)
        change(folder / "tiles.descriptors", -1)
        return rows

    monkeypatch.setattr(build_module, "write_place_ordered", write_badly)
    index = FaissDescriptorIndex(root)
    with pytest.raises(IndexBuildError, match="does not read back"):
        build(index, first_tile=1_000, count=COUNT)
    assert index.search_within(QUERY, 1, EVERYWHERE)[0].tile_id == tile(0)
