"""The files of a build: what is damaged is found, and writers of the same file leave it whole."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest
from open_descriptors import leaving_none_open

from aerotile.adapters.build_files.block_file import open_block, write_block
from aerotile.adapters.build_files.shards import ShardedDescriptors
from aerotile.adapters.build_files.work_folder import finished, noted_progress, noting_progress, work_in
from aerotile.domain.build_blocks import BlockFile
from aerotile.domain.errors import BaseSealError

ROW = np.dtype([("key", "<i8"), ("sha256", "V32"), ("place", "<u4", (3,))])
ROWS = np.zeros(7, ROW)
ROWS["key"] = np.arange(7)
ARRAYS = {"rows": ROWS, "pixels": np.arange(500, dtype=np.uint8), "none": np.empty((0, 3), np.float32)}
FACTS = {"counts": {"verbatim": 7}, "refusals": []}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    digest = write_block(tmp_path / "a", FACTS, ARRAYS)
    block = open_block(tmp_path / "a", digest).check()
    assert (block.digest, block.facts) == (digest, FACTS)
    for name, array in ARRAYS.items():
        found = block.array(name)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()
    assert write_block(tmp_path / "b", FACTS, ARRAYS) == digest
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_damaged_byte_is_found_wherever_it_is(tmp_path: Path) -> None:
    digest = write_block(tmp_path / "a", FACTS, ARRAYS)
    content = (tmp_path / "a").read_bytes()
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(BaseSealError, match=re.escape(str(tmp_path / "a"))):
            open_block(tmp_path / "a", digest).check()
        assert finished(tmp_path / "a") is None
    for length in range(0, len(content), 23):
        (tmp_path / "a").write_bytes(content[:length])
        assert finished(tmp_path / "a") is None
    (tmp_path / "a").write_bytes(content + b"x")
    assert finished(tmp_path / "a") is None
    assert finished(tmp_path / "missing") is None


def test_a_file_of_other_content_is_not_taken_for_the_one_that_was_named(tmp_path: Path) -> None:
    digest = write_block(tmp_path / "a", FACTS, ARRAYS)
    write_block(tmp_path / "a", FACTS | {"counts": {"verbatim": 8}}, ARRAYS)
    assert finished(tmp_path / "a") is not None
    with pytest.raises(BaseSealError, match="its header is not the one that was written"):
        open_block(tmp_path / "a", digest)


def test_a_block_with_refusals_is_made_anew(tmp_path: Path) -> None:
    write_block(tmp_path / "a", FACTS | {"refusals": [{"file": "x"}]}, ARRAYS)
    assert finished(tmp_path / "a") is None


def test_writers_of_the_same_file_leave_it_whole(tmp_path: Path) -> None:
    digests: list[str] = []

    def write() -> None:
        for _ in range(10):
            digests.append(write_block(tmp_path / "a", FACTS, ARRAYS))
            assert open_block(tmp_path / "a").check().digest == digests[0]

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 40
    assert len(set(digests)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_one_build_works_in_a_folder_and_removes_what_killed_writers_left(tmp_path: Path) -> None:
    with work_in(tmp_path / "work"):
        (tmp_path / "work/tiles/ab").mkdir()
        (tmp_path / "work/tiles/ab/.left.tmp").write_bytes(b"half")
        (tmp_path / "work/tiles/ab/whole").write_bytes(b"whole")
        with pytest.raises(BaseSealError, match="another build works in"), work_in(tmp_path / "work"):
            pass
    with work_in(tmp_path / "work"):
        assert [path.name for path in (tmp_path / "work/tiles/ab").iterdir()] == ["whole"]


def test_the_progress_of_a_killed_step_is_not_that_of_the_next_build(tmp_path: Path) -> None:
    place = tmp_path / "work/graphs/ab/abcd"
    with work_in(tmp_path / "work"):
        place.parent.mkdir()
        with noting_progress(place) as progress:
            progress(3, 7)
            assert noted_progress(place) == 3
            (left,) = place.parent.iterdir()
            content = left.read_bytes()
        assert not list(place.parent.iterdir())
        left.write_bytes(content)
    with work_in(tmp_path / "work"):
        assert noted_progress(place) == 0
        assert not list(place.parent.iterdir())


def test_shards_hold_no_file_open_however_many_they_are(tmp_path: Path) -> None:
    shards = []
    for number in range(5):
        path = tmp_path / str(number)
        arrays = {"keys": np.arange(3) + 3 * number, "vectors": np.full((3, 2), number, np.float16)}
        shards.append(BlockFile(str(path), write_block(path, FACTS, arrays), 3, ()))
    with leaving_none_open():
        descriptors = ShardedDescriptors(shards)
    assert descriptors.keys.tolist() == list(range(15))
    assert descriptors.dimension == 2
    assert [(rows.start, rows.stop, int(found[0, 0])) for rows, found in descriptors.blocks()] == [
        (3 * number, 3 * number + 3, number) for number in range(5)
    ]
