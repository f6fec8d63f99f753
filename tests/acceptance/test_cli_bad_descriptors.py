"""Descriptors, queries and index files that are none, one line each as a person sees it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from cli_calls import BAD_CALL, JOB_FAILED, Call


def test_an_index_file_with_one_changed_byte(call: Call, tmp_path: Path) -> None:
    descriptors = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32)
    np.savez("d.npz", tiles=[f"imported/6/0/{y}" for y in range(50)], descriptors=descriptors)
    np.save("q.npy", descriptors[0])
    assert call("index", "build", "--no-store-check", "d.npz", "--model", "demo").code == 0
    index_file = next((tmp_path / "aerotile-data/index/generations").glob("*/tiles.index"))
    content = bytearray(index_file.read_bytes())
    content[len(content) // 2] ^= 1
    index_file.chmod(0o640)
    index_file.write_bytes(content)
    for arguments in (["search", "q.npy"], ["index", "info"]):
        result = call(*arguments)
        assert result.code == JOB_FAILED
        assert str(index_file.parent) in result.error
        assert "tiles.index is not the file that tiles.meta.json describes" in result.error


def test_descriptors_that_are_none(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("nonsense")
    np.save("one.npy", np.zeros(4, np.float32))
    np.savez("alone.npz", descriptors=np.zeros((2, 4), np.float32))
    np.savez("counts.npz", tiles=["imported/1/0/0"], descriptors=np.zeros((2, 4), np.float32))
    np.savez("names.npz", tiles=["imported/1/2/0"], descriptors=np.zeros((1, 4), np.float32))
    np.savez("whole.npz", tiles=["imported/1/0/0"], descriptors=np.zeros((1, 4), np.int64))
    for name in ("text.npz", "one.npy", "alone.npz", "counts.npz", "names.npz", "whole.npz"):
        result = call("index", "build", "--no-store-check", name, "--model", "demo")
        assert result.code == BAD_CALL, name
        assert name in result.error
    assert not (tmp_path / "aerotile-data/index").exists()


def test_descriptors_that_are_all_the_same_are_those_of_a_broken_network(call: Call, tmp_path: Path) -> None:
    rows = np.full((100, 4), 0.5, np.float32)
    np.savez("d.npz", tiles=[f"imported/7/{x}/0" for x in range(100)], descriptors=rows)
    result = call("index", "build", "--no-store-check", "d.npz", "--model", "demo")
    assert result.code == BAD_CALL
    assert "d.npz: all 100 descriptors are the same" in result.error
    rows[99, 3] = 0.25
    np.savez("d.npz", tiles=[f"imported/7/{x}/0" for x in range(100)], descriptors=rows)
    assert call("index", "build", "--no-store-check", "d.npz", "--model", "demo").code == 0


@pytest.mark.parametrize("name", [" ", "two\nlines", "net ", "\x1b[31mnet", "n" * 501])
def test_a_network_is_named_by_one_line(call: Call, name: str) -> None:
    np.savez("d.npz", tiles=["imported/1/0/0"], descriptors=np.ones((1, 4), np.float32))
    result = call("index", "build", "--no-store-check", "d.npz", "--model", name)
    assert result.code == BAD_CALL
    assert "--model: descriptor_model must be one line of 1 to 500 printable characters" in result.error
    assert repr(name)[:80] in result.error
    np.savez("d.npz", tiles=["imported/1/0/0"], descriptors=np.ones((1, 4), np.float32), model=name)
    result = call("index", "build", "--no-store-check", "d.npz")
    assert result.code == BAD_CALL
    assert "d.npz: descriptor_model must be one line" in result.error


def test_compressed_descriptors_that_no_memory_holds_are_refused_before_they_are_unpacked(
    call: Call, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiles.npy", bytes(10_000_000))
        archive.filelist[0].file_size = 1 << 50
    result = call("index", "build", "--no-store-check", "bomb.npz", "--model", "demo")
    assert result.code == BAD_CALL
    assert "bomb.npz is not a .npz with descriptors: tiles.npy takes 1073741824 MiB of memory" in result.error


def test_a_query_that_is_no_query_by_its_size_is_not_read(call: Call, tmp_path: Path) -> None:
    with (tmp_path / "q.npy").open("wb") as file:
        file.truncate(1 << 40)
    result = call("search", "q.npy")
    assert result.code == BAD_CALL
    assert "it is larger than 16 MiB" in result.error


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (4L,",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000000000000000,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }",
        b"{'descr': 'no type', 'fortran_order': False, 'shape': (4,), }",
        b"((((((((((((((((((((",
        b"\xff\x00",
    ],
)
def test_a_query_with_a_damaged_header(call: Call, tmp_path: Path, header: bytes) -> None:
    # numpy's format 1.0: magic, version, the header's length in two bytes, the header.
    head = header.ljust(117) + b"\n"
    (tmp_path / "q.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(16)
    )
    result = call("search", "q.npy")
    assert result.code == BAD_CALL
    assert result.error.startswith("q.npy is not a .npy with one descriptor: ")


def test_a_query_of_another_length(call: Call) -> None:
    np.savez("d.npz", tiles=["imported/1/0/0"], descriptors=np.ones((1, 4), np.float32))
    call("index", "build", "--no-store-check", "d.npz", "--model", "demo")
    np.save("q.npy", np.ones(5, np.float32))
    result = call("search", "q.npy")
    assert result.code == BAD_CALL
    assert "q.npy: descriptor must have shape (4,), got (5,) — describe the frame with demo" in result.error
