"""The descriptor index refuses to open what is not, byte for byte, what was built, and says what differs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.faiss.mapped_index import sidecar_content
from aerotile.domain.errors import IndexUnavailableError
from aerotile.domain.values.tiles import TileId, TileSource

BUILT_AT = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.utc)
DIMENSION = 16
FILES = ("tiles.index", "tiles.index.sha256", "tiles.meta.json")


def vectors(count: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(count, DIMENSION)).astype(np.float32)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A root with one generation of 50 tiles."""
    tiles = [TileId(18, number, 7, TileSource.SATELLITE_PROVIDER) for number in range(50)]
    FaissDescriptorIndex(tmp_path).rebuild(
        tiles, vectors(50), descriptor_model="a-network", built_at=BUILT_AT
    )
    return tmp_path


def generation(root: Path) -> Path:
    return root / "generations" / "000001"


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    replace(path, bytes(content))


def truncate(path: Path) -> None:
    replace(path, path.read_bytes()[:-1])


def empty(path: Path) -> None:
    replace(path, b"")


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: list[Callable[[Path], None]] = [flip_a_byte, truncate, empty, make_a_folder, Path.unlink]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_generation_is_refused_in_one_line_with_a_remedy(
    built: Path, file: str, damage: Callable[[Path], None]
) -> None:
    damage(generation(built) / file)
    assert_refused(built)


@pytest.mark.parametrize("damage", [flip_a_byte, empty, make_a_folder])
def test_a_damaged_pointer_is_refused_in_one_line_with_a_remedy(
    built: Path, damage: Callable[[Path], None]
) -> None:
    damage(built / "current")
    assert_refused(built)


def assert_refused(root: Path) -> None:
    with pytest.raises(IndexUnavailableError) as refused:
        FaissDescriptorIndex(root)
    assert "\n" not in str(refused.value)
    assert str(root) in str(refused.value)
    assert "rollback" in str(refused.value.remedy)


def test_without_a_pointer_there_is_no_index_which_is_no_damage(built: Path) -> None:
    (built / "current").unlink()
    with pytest.raises(IndexUnavailableError, match="there is no descriptor index"):
        FaissDescriptorIndex(built).metadata()


@pytest.mark.parametrize(
    "name", ["../generations/000001", "000001/../000001", "/etc", "000009", "", "\0", "²" * 6]
)
def test_a_pointer_that_names_no_generation_is_refused(built: Path, name: str) -> None:
    (built / "current").write_text(name)
    with pytest.raises(IndexUnavailableError, match="names no generation"):
        FaissDescriptorIndex(built)


def rewrite_metadata(folder: Path, **changes: Any) -> None:
    """Change the metadata and make the hashes agree with the change."""
    facts = json.loads((folder / "tiles.meta.json").read_bytes())
    seal(folder, json.dumps(facts | changes).encode())


def seal(folder: Path, metadata: bytes) -> None:
    replace(folder / "tiles.meta.json", metadata)
    hashes = {
        "tiles.index": hashlib.sha256((folder / "tiles.index").read_bytes()).hexdigest(),
        "tiles.meta.json": hashlib.sha256(metadata).hexdigest(),
    }
    replace(folder / "tiles.index.sha256", sidecar_content(hashes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dimension": 17}, "dimension is 16 in the index, 17"),
        ({"count": 51}, "count is 50 in the index, 51"),
        ({"metric": "inner_product"}, "metric is"),
        ({"storage": "float32"}, "IndexHNSWSQ, not a IndexHNSWFlat"),
        ({"params": {"m": 16, "ef_construction": 200, "ef_search": 64}}, "m is 32 in the index, 16"),
        (
            {"params": {"m": 32, "ef_construction": 9, "ef_search": 64}},
            "ef_construction is 200 in the index, 9",
        ),
        ({"faiss_version": "2.0.0"}, "written by faiss 2.0.0"),
        ({"faiss_version": "1.999.0"}, "written by faiss 1.999.0"),
        ({"faiss_version": "new"}, "written by faiss new"),
        ({"sha256": "0" * 64}, "which tiles.index.sha256 does not say"),
        ({"format": 2}, "format is 2"),
        ({"built_at": "yesterday"}, "not index metadata"),
        ({"variants": ["not-a-flight"]}, "not index metadata"),
        ({"params": None}, "not index metadata"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, dict) else "",
)
def test_what_differs_between_index_and_metadata_is_named(
    built: Path, changes: dict[str, Any], said: str
) -> None:
    rewrite_metadata(generation(built), **changes)
    with pytest.raises(IndexUnavailableError, match=said):
        FaissDescriptorIndex(built)


def test_an_index_written_by_an_older_faiss_of_the_same_major_version_is_read(built: Path) -> None:
    rewrite_metadata(generation(built), faiss_version=f"{faiss.__version__.split('.')[0]}.0.0")
    assert FaissDescriptorIndex(built).metadata().count == 50


@pytest.mark.parametrize("content", [b"[]", b"{}", b"null", b"{", b"\xff", b"[" * 100_000])
def test_metadata_that_is_something_else_is_refused(built: Path, content: bytes) -> None:
    seal(generation(built), content)
    with pytest.raises(IndexUnavailableError, match="not index metadata"):
        FaissDescriptorIndex(built)


QUANTIZERS = {"eight_bits": faiss.ScalarQuantizer.QT_8bit, "six_bits": faiss.ScalarQuantizer.QT_6bit}


def other_index(kind: str) -> Any:
    if kind == "flat":
        index: Any = faiss.IndexFlatL2(DIMENSION)
        index.add(vectors(50))
    elif kind == "flat_with_ids":
        index = faiss.IndexIDMap2(faiss.IndexFlatL2(DIMENSION))
        index.add_with_ids(vectors(50), np.arange(50))
    else:
        index = faiss.IndexIDMap2(
            faiss.IndexHNSWSQ(DIMENSION, QUANTIZERS[kind], 32)  # type: ignore[arg-type] # wrong stub
        )
        index.train(vectors(50))
        index.add_with_ids(vectors(50), np.arange(50))
    return index


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("flat", "the index begins as b'IxF2'"),
        ("flat_with_ids", "the graph begins as b'IxF2'"),
        ("eight_bits", "tiles.meta.json differ: the vectors are quantized as 0, not as 4"),
        ("six_bits", "neither as float16 nor by eight bits"),
    ],
)
def test_an_index_of_another_type_is_refused_though_its_hashes_agree(
    built: Path, kind: str, said: str
) -> None:
    folder = generation(built)
    content = faiss.serialize_index(other_index(kind)).tobytes()
    replace(folder / "tiles.index", content)
    rewrite_metadata(folder, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(IndexUnavailableError, match=said):
        FaissDescriptorIndex(built)


def test_metadata_with_two_values_of_one_name_is_refused_though_its_hashes_agree(built: Path) -> None:
    folder = generation(built)
    twice = b'"descriptor_model": "another", "descriptor_model"'
    content = (folder / "tiles.meta.json").read_bytes()
    seal(folder, content.replace(b'"descriptor_model"', twice))
    with pytest.raises(IndexUnavailableError, match="'descriptor_model' comes twice"):
        FaissDescriptorIndex(built)


def test_bytes_that_are_no_index_are_refused_though_their_hashes_agree(built: Path) -> None:
    folder = generation(built)
    replace(folder / "tiles.index", b"not an index" * 100)
    rewrite_metadata(folder, sha256=hashlib.sha256(b"not an index" * 100).hexdigest())
    with pytest.raises(IndexUnavailableError, match="is no index of ours"):
        FaissDescriptorIndex(built)


@pytest.mark.parametrize("warm_up", [True, False])
def test_an_id_that_names_no_tile_is_an_error_though_all_hashes_agree(built: Path, warm_up: bool) -> None:
    folder = generation(built)
    index = faiss.deserialize_index(np.frombuffer((folder / "tiles.index").read_bytes(), np.uint8))
    faiss.copy_array_to_vector(np.full(50, (1 << 62) + 5000), index.id_map)
    content = faiss.serialize_index(index).tobytes()
    replace(folder / "tiles.index", content)
    rewrite_metadata(folder, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(IndexUnavailableError, match="id that names no tile"):
        FaissDescriptorIndex(built, warm_up=warm_up).search(vectors(1)[0], 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(built: Path) -> None:
    (generation(built) / "tiles.index").chmod(0)
    with pytest.raises(IndexUnavailableError, match="Permission denied"):
        FaissDescriptorIndex(built)
