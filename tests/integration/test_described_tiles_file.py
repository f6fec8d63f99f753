"""The file of descriptors and its folder of blocks: whole or not there, whatever a crash left."""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs
import numpy as np
import pytest

from aerotile.adapters.exports.described_tiles import DescribedTilesFile
from aerotile.adapters.input_files.descriptor_files import (
    read_described_digests,
    read_described_model,
    read_described_tiles,
)
from aerotile.domain.errors import DescribedTilesError
from aerotile.domain.ports.described_tiles import DescribedBlock, DescribingJob
from aerotile.domain.values.tiles import TileId, TileSource

JOB = DescribingJob(
    model="net-0123456789abcdef",
    model_sha256="ab" * 32,
    providers=("CPUExecutionProvider",),
    headings=(0, 90),
    tiles_sha256="cd" * 32,
    recalls="",
    batch=32,
)


def block(first: int, count: int, *, dimension: int = 4, refused: int = 0) -> DescribedBlock:
    # Names of several lengths.
    tiles = tuple(TileId(9, x, 10 ** (x % 3), TileSource.IMPORTED) for x in range(first, first + count))
    rows = np.arange(2 * count * dimension, dtype=np.float32).reshape(2 * count, dimension) + first
    left_out = tuple((TileId(9, 500 + n, 0, TileSource.IMPORTED), "damaged") for n in range(refused))
    digests = tuple(digest(x) for x in range(first, first + count))
    return DescribedBlock(tiles, rows if count else np.empty((0, 0), np.float32), digests, left_out)


def digest(x: int) -> str:
    return hashlib.sha256(bytes([x])).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.npz"


def write(path: Path, *blocks: DescribedBlock, job: DescribingJob = JOB) -> tuple[int, int]:
    with DescribedTilesFile(path, job) as file:
        for number, one in enumerate(blocks):
            file.add(number, one)
        return file.finish()


def test_index_build_and_numpy_read_what_was_written(path: Path) -> None:
    assert write(path, block(0, 3), block(3, 0, refused=2), block(7, 2)) == (10, 4)
    tiles, rows = read_described_tiles(path)
    names = [f"imported/9/{x}/{10 ** (x % 3)}" for x in (0, 0, 1, 1, 2, 2, 7, 7, 8, 8)]
    assert [str(tile_id) for tile_id in tiles] == names
    np.testing.assert_array_equal(rows, np.concatenate([block(0, 3).descriptors, block(7, 2).descriptors]))
    assert read_described_model(path) == JOB.model
    with np.load(path) as arrays:
        assert arrays["tiles"].tolist() == names
        assert str(arrays["model_sha256"]) == JOB.model_sha256
        assert arrays["sha256"].tolist() == [digest(x) for x in (0, 0, 1, 1, 2, 2, 7, 7, 8, 8)]
    digests = read_described_digests(path, 10)
    assert digests is not None
    assert digests[2].tobytes() == digests[3].tobytes() == hashlib.sha256(b"\1").digest()
    assert [each.name for each in path.parent.iterdir()] == ["d.npz"]


def test_the_same_blocks_give_the_same_bytes_in_whatever_order_they_came(path: Path) -> None:
    write(path, block(0, 3), block(3, 3))
    other = path.with_name("other.npz")
    with DescribedTilesFile(other, JOB) as file:
        file.add(1, block(3, 3))
    with DescribedTilesFile(other, JOB) as file:
        assert file.finished_blocks() == {1}
        file.add(0, block(0, 3))
        file.finish()
    assert other.read_bytes() == path.read_bytes()


def test_a_block_with_refused_tiles_is_not_taken_over(path: Path) -> None:
    with DescribedTilesFile(path, JOB) as file:
        file.add(0, block(0, 3))
        file.add(1, block(3, 2, refused=1))
    with DescribedTilesFile(path, JOB) as file:
        assert file.finished_blocks() == {0}
        file.add(1, block(3, 3))
        assert file.finish() == (12, 4)


@pytest.mark.parametrize("field", [field.name for field in attrs.fields(DescribingJob)])
def test_blocks_of_another_job_are_refused_by_what_differs(path: Path, field: str) -> None:
    other = {"headings": (0,), "batch": 7}.get(field, "ef" * 32)
    with DescribedTilesFile(path, JOB) as file:
        file.add(0, block(0, 3))
    with pytest.raises(DescribedTilesError, match=rf"another job \(it differs in {field}\)"):
        DescribedTilesFile(path, attrs.evolve(JOB, **{field: other}))
    with DescribedTilesFile(path, JOB) as file:
        assert file.finished_blocks() == {0}


def test_two_runs_into_one_file_are_refused(path: Path) -> None:
    with DescribedTilesFile(path, JOB), pytest.raises(DescribedTilesError, match="another run describes"):
        DescribedTilesFile(path, JOB)
    with DescribedTilesFile(path, JOB) as file:
        assert file.finished_blocks() == frozenset()


def test_what_a_crash_left_is_no_hindrance(path: Path) -> None:
    folder = path.with_name("d.npz.partial")
    folder.mkdir()
    (folder / "00000000.npz").write_bytes(b"of a job that is not known")
    (folder / ".00000001.npz.tmp").write_bytes(b"half")
    (folder / ".job.json.tmp").write_bytes(b"half")
    assert write(path, block(0, 1), block(1, 1)) == (4, 4)
    assert not folder.exists()


def test_a_damaged_block_is_named_and_nothing_is_written(path: Path) -> None:
    place = path.with_name("d.npz.partial") / "00000001.npz"
    with DescribedTilesFile(path, JOB) as file:
        file.add(0, block(0, 3))
        file.add(1, block(3, 3))
        content = bytearray(place.read_bytes())
        flags = content.index(b"PK\1\2") + 8
        encrypted = content[:flags] + b"\1" + content[flags + 1 :]
        flipped = content[:300] + bytes([content[300] ^ 1]) + content[301:]
        for damaged in (content[:50], b"", flipped, encrypted):
            place.write_bytes(damaged)
            with pytest.raises(DescribedTilesError, match=r"00000001\.npz is damaged: .*") as refused:
                file.finish()
            assert refused.value.remedy == "remove it; the next run describes its tiles anew"
            assert not path.exists()


def test_blocks_that_do_not_fit_together_are_refused(path: Path) -> None:
    with pytest.raises(DescribedTilesError, match="don't belong together"):
        write(path, block(0, 3), block(3, 3, dimension=5))


def test_no_tile_is_no_file(path: Path) -> None:
    with pytest.raises(DescribedTilesError, match="no tile could be described"):
        write(path, block(0, 0, refused=3))
    assert not path.exists()


def test_nothing_is_replaced(path: Path) -> None:
    path.write_bytes(b"of somebody")
    with pytest.raises(DescribedTilesError, match="nothing is replaced"):
        DescribedTilesFile(path, JOB)
    assert path.read_bytes() == b"of somebody"
