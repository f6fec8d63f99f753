"""An index of many parts is hashed part by part, and refused by whichever part differs."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from sealed_index import seal

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.files import file_digests
from aerotile.domain.errors import IndexUnavailableError
from aerotile.domain.values.tiles import TileId, TileSource

PART_BYTES = 1000


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a generation of many parts."""
    monkeypatch.setattr(file_digests, "PART_BYTES", PART_BYTES)
    tiles = [TileId(18, number, 7, TileSource.SATELLITE_PROVIDER) for number in range(60)]
    descriptors = np.random.default_rng(7).normal(size=(60, 16)).astype(np.float32)
    FaissDescriptorIndex(tmp_path).rebuild(
        tiles, descriptors, descriptor_model="a-network", built_at=datetime(2026, 5, 1, tzinfo=timezone.utc)
    )
    return tmp_path / "generations" / "000001"


def open_index(folder: Path) -> FaissDescriptorIndex:
    return FaissDescriptorIndex(folder.parent.parent)


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_the_metadata_hold_the_digest_of_every_part(built: Path) -> None:
    content = (built / "tiles.index").read_bytes()
    facts = json.loads((built / "tiles.meta.json").read_bytes())
    parts = [content[start : start + PART_BYTES] for start in range(0, len(content), PART_BYTES)]
    assert len(parts) >= 10
    assert facts["part_bytes"] == PART_BYTES
    assert facts["part_sha256"] == [hashlib.sha256(part).hexdigest() for part in parts]
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    assert open_index(built).metadata().count == 60


def test_one_changed_bit_of_any_part_is_refused_and_the_part_named(built: Path) -> None:
    path = built / "tiles.index"
    content = path.read_bytes()
    for position in [*range(0, len(content), PART_BYTES), len(content) - 1]:
        changed = bytearray(content)
        changed[position] ^= 0x80
        replace(path, bytes(changed))
        with pytest.raises(IndexUnavailableError, match=f"from byte {position - position % PART_BYTES} on"):
            open_index(built)


@pytest.mark.parametrize("by", [-PART_BYTES, -1, 1, PART_BYTES])
def test_a_file_of_another_length_is_refused(built: Path, by: int) -> None:
    path = built / "tiles.index"
    content = path.read_bytes()
    replace(path, content + bytes(by) if by > 0 else content[:by])
    with pytest.raises(IndexUnavailableError, match=r"is not the file that tiles\.meta\.json describes"):
        open_index(built)


def test_parts_that_changed_places_are_refused(built: Path) -> None:
    path = built / "tiles.index"
    content = path.read_bytes()
    replace(path, content[PART_BYTES : 2 * PART_BYTES] + content[:PART_BYTES] + content[2 * PART_BYTES :])
    with pytest.raises(IndexUnavailableError, match="from byte 0 on"):
        open_index(built)


@pytest.mark.parametrize(
    "facts",
    [
        {"part_sha256": []},
        {"part_sha256": 5},
        {"part_sha256": None},
        {"part_bytes": 0},
        {"part_bytes": -1},
        {"part_bytes": "1000"},
        {"part_bytes": PART_BYTES + 1},
    ],
    ids=str,
)
def test_digests_that_are_none_are_refused_though_the_sidecar_agrees(
    built: Path, facts: dict[str, object]
) -> None:
    content = (built / "tiles.index").read_bytes()
    seal(built, content, json.loads((built / "tiles.meta.json").read_bytes()) | facts)
    with pytest.raises(IndexUnavailableError, match=r"tiles\.meta\.json"):
        open_index(built)


def test_the_first_part_that_differs_is_named_whichever_thread_finds_it(built: Path) -> None:
    path = built / "tiles.index"
    content = bytearray(path.read_bytes())
    for number in (3, 4, 9):
        content[number * PART_BYTES] ^= 1
    replace(path, bytes(content))
    with pytest.raises(IndexUnavailableError, match=f"from byte {3 * PART_BYTES} on"):
        open_index(built)


def test_a_file_of_one_part_is_hashed_without_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    monkeypatch.delattr(file_digests, "ThreadPoolExecutor")
    digests = file_digests.FileDigests.of_one_part(hashlib.sha256(b"content").hexdigest())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        assert digests.first_difference(mapping, path) is None


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("who", ["caller", "helper"])
def test_after_an_error_no_thread_hashes_another_part(
    who: str, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, failed = threading.get_ident(), threading.Event()
    hashed: list[int] = []

    class Pool(ThreadPoolExecutor):
        """Says when its thread has ended a task, or the caller leaves it."""

        def submit(self, *task: Any, **named: Any) -> Future[Any]:
            future: Future[Any] = super().submit(*task, **named)
            future.add_done_callback(lambda _: failed.set())
            return future

        def shutdown(self, *how: Any, **named: Any) -> None:
            failed.set()
            super().shutdown(*how, **named)

    def digest(mapping: mmap.mmap, path: Path, start: int, end: int) -> str:
        hashed.append(start)
        if (threading.get_ident() == caller) == (who == "caller"):
            raise error
        assert failed.wait(60)
        return "00"

    monkeypatch.setattr(file_digests, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(file_digests, "sha256_of_mapping", digest)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    digests = file_digests.PartDigests(("00",) * 100, 1)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping,
        pytest.raises(error),
    ):
        digests.first_difference(mapping, path)
    assert len(hashed) <= 2


def test_the_index_is_opened_without_a_table_of_its_ids(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    read_index = faiss.read_index

    def noted(*arguments: Any) -> object:
        read.append(read_index(*arguments))
        return read[-1]

    monkeypatch.setattr(faiss, "read_index", noted)
    assert open_index(built).metadata().count == 60
    assert read
    assert not any(isinstance(each, faiss.IndexIDMap2) for each in read)
