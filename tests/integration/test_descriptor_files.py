"""Descriptors in a `.npz`: mapped where they lie in the file, and refused when the file is damaged."""

from __future__ import annotations

import mmap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aerotile.adapters.input_files.descriptor_files import read_described_tiles
from aerotile.adapters.input_files.errors import InputFileError
from aerotile.domain.values.tiles import TileId, TileSource

TILES = [f"imported/6/{x}/7" for x in range(50)]
DESCRIPTORS = np.random.default_rng(5).normal(size=(50, 16)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.npz"


def owner(array: npt.NDArray[Any]) -> object:
    """What the array's memory belongs to."""
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base.obj if isinstance(base, memoryview) else base


def test_stored_descriptors_are_mapped_and_not_read_into_memory(path: Path) -> None:
    np.savez(path, tiles=TILES, descriptors=DESCRIPTORS)
    tiles, descriptors = read_described_tiles(path)
    assert isinstance(owner(descriptors), mmap.mmap)
    assert not descriptors.flags.writeable
    assert np.array_equal(descriptors, DESCRIPTORS)
    assert tiles == [TileId(6, x, 7, TileSource.IMPORTED) for x in range(50)]


@pytest.mark.parametrize(
    ("save", "given"),
    [
        (np.savez_compressed, DESCRIPTORS),
        (np.savez, DESCRIPTORS.astype(np.float64)),
        (np.savez, DESCRIPTORS.astype(">f4")),
        (np.savez, np.asfortranarray(DESCRIPTORS)),
        (np.savez, DESCRIPTORS[:, ::-1][:, ::-1]),
    ],
    ids=["compressed", "double", "big_endian", "by_columns", "from_a_view"],
)
def test_descriptors_of_any_form_read_the_same(path: Path, save: Callable[..., None], given: Any) -> None:
    save(path, tiles=TILES, descriptors=given)
    tiles, descriptors = read_described_tiles(path)
    assert descriptors.dtype == np.float32
    assert np.array_equal(descriptors, DESCRIPTORS)
    assert len(tiles) == 50


def test_a_changed_byte_among_mapped_descriptors_is_found_by_the_checksum(path: Path) -> None:
    np.savez(path, tiles=TILES, descriptors=DESCRIPTORS)
    content = bytearray(path.read_bytes())
    content[content.index(DESCRIPTORS.tobytes()) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"CRC-32 of descriptors\.npy"):
        read_described_tiles(path)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    np.savez(path, tiles=TILES, descriptors=DESCRIPTORS)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(InputFileError):
            read_described_tiles(path)


def test_no_changed_byte_of_a_file_s_structure_does_more_than_be_refused(path: Path) -> None:
    np.savez(path, tiles=TILES[:2], descriptors=DESCRIPTORS[:2, :4])
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in (0x01, 0x80):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            try:
                _, descriptors = read_described_tiles(path)
            except InputFileError:
                continue
            # Fields that nobody reads, such as dates, may be anything.
            assert np.array_equal(descriptors, DESCRIPTORS[:2, :4])


def test_a_shape_that_the_member_does_not_hold_is_refused(path: Path) -> None:
    np.savez(path, tiles=TILES, descriptors=DESCRIPTORS)
    forged = path.read_bytes().replace(b"(50, 16)", b"(51, 16)")
    path.write_bytes(forged)
    with pytest.raises(InputFileError, match="does not have the length that its shape"):
        read_described_tiles(path)


def test_an_array_of_python_objects_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in (("tiles", np.array(TILES)), ("descriptors", np.array([[None]] * 50))):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=True)
    with pytest.raises(InputFileError):
        read_described_tiles(path)
