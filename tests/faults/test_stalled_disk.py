"""A disk that stops answering: what is in memory is read on, the rest fails in time, and all recovers.

A real ext4 on a loop device whose blocks come through /dev/fuse from a program that can be told to wait.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import attrs
import pytest
from stalling_disks import NEEDS_STALLING_DISK, Disk, stalling_disk
from waiting import until

from aerotile.adapters.contracts.tile_files.subject import metadata
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.domain.errors import ReadDeadlineError, TileNotFoundError
from aerotile.domain.ports.mapping_cache import MappingCache
from aerotile.domain.store.read_tile import TileReader
from aerotile.domain.store.recall_guard import NoRecalls, RecallGuard
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource
from aerotile.ext import CompiledMappingCache, MappedPixels

pytestmark = [pytest.mark.faults, *NEEDS_STALLING_DISK]

THREADS = 3
SOON_S = 0.1
LONG_S = 120.0
WARM = TileId(14, 1, 1, TileSource.IMPORTED)
COLD = [TileId(14, 1, y, TileSource.IMPORTED) for y in range(100, 140)]
FAR = [TileId(14, x, 1, TileSource.IMPORTED) for x in range(100, 110)]
SIZE = 30_000


def pixels_of(tile_id: TileId) -> bytes:
    return example_jpeg(hashlib.shake_128(str(tile_id).encode()).digest(SIZE), SIZE)


def metadata_of(tile_id: TileId) -> TileMetadata:
    return metadata(pixels_of(tile_id), tile_id)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk with tiles of which none is in memory."""
    with stalling_disk(tmp_path) as disk:
        with FilesystemTileFiles(disk.mounted / "tiles") as files:
            files.place_many([files.stage(pixels_of(t), metadata_of(t)) for t in (WARM, *COLD, *FAR)])
        disk.mount_anew()  # and what is in memory goes
        yield disk


@attrs.frozen
class Store:
    """The read path of a store."""

    files: FilesystemTileFiles
    mapping_cache: MappingCache
    reader: TileReader

    def read(self, tile_id: TileId, timeout_s: float | None = LONG_S) -> TilePixelHandle:
        handle = self.mapping_cache.get(tile_id)
        return self.reader.read_first(tile_id, timeout_s) if handle is None else handle


@pytest.fixture
def store(disk: Disk) -> Iterator[Store]:
    now = datetime(2024, 5, 2, tzinfo=timezone.utc)
    catalogue = MemoryTileCatalogue()
    for tile_id in (WARM, *COLD, *FAR):
        catalogue.add(TileMetadataPersistent.of(metadata_of(tile_id), created_at=now))
    with FilesystemTileFiles(disk.mounted / "tiles", reader_threads=THREADS) as files:
        kept = CompiledMappingCache(max_count=1_000, max_bytes=1 << 30)
        reader = TileReader(
            files=files,
            catalogue=catalogue,
            mapping_cache=kept,
            when_missing=lambda tile_id: None,
            verify_hash=True,
            recalls=RecallGuard(NoRecalls(), lambda event: None),
            accepts=lambda tile_id, content_sha256: False,
        )
        yield Store(files, kept, reader)
        kept.close()


def lock(handle: TilePixelHandle) -> None:
    """Keep a tile in memory as long as it is mapped: some kernels reclaim at any time what looks cold."""
    assert isinstance(handle, MappedPixels)
    handle.lock()


def keep_warm(store: Store) -> None:
    with store.read(WARM) as handle:
        lock(handle)


def stall(store: Store, disk: Disk) -> None:
    """Stop the disk, and let reads run into it until every thread hangs."""
    disk.tell("stall")
    for tile_id in [*COLD[1:], *FAR]:
        with pytest.raises(ReadDeadlineError) as caught:
            store.read(tile_id, SOON_S)
        assert caught.value.tile_id == tile_id
        if caught.value.stalled:
            return
    raise AssertionError("the threads did not hang")


def is_read(store: Store, tile_id: TileId) -> bool:
    try:
        with store.read(tile_id) as handle:
            return bytes(memoryview(handle)) == pixels_of(tile_id)
    except ReadDeadlineError:
        return False


def test_reads_from_memory_go_on_and_others_fail_in_time_and_recover(store: Store, disk: Disk) -> None:
    keep_warm(store)
    store.read(COLD[0]).close()
    store.mapping_cache.invalidate(COLD[0])  # not mapped by the store any more, and in the page cache
    with store.files.open(COLD[0], LONG_S) as page_cache:
        lock(page_cache)
        stall(store, disk)
        for _ in range(100):
            with store.read(WARM, 0) as handle:
                assert bytes(memoryview(handle)) == pixels_of(WARM)
            with store.read(COLD[0], 0) as handle:
                assert bytes(memoryview(handle)) == pixels_of(COLD[0])
            assert store.files.read(COLD[0], 0) == pixels_of(COLD[0])
            store.mapping_cache.invalidate(COLD[0])
            store.mapping_cache.release()
            with pytest.raises(ReadDeadlineError) as caught:
                store.read(FAR[-1], LONG_S)
            assert caught.value.stalled
            with pytest.raises(ReadDeadlineError):
                store.files.read(FAR[-1], LONG_S)
            with pytest.raises(TileNotFoundError):
                store.read(TileId(14, 0, 0, TileSource.IMPORTED), 0)
    disk.tell("go")
    until(lambda: is_read(store, FAR[-1]))
    for tile_id in [*COLD, *FAR]:
        assert is_read(store, tile_id)


def test_it_recovers_from_one_stall_after_the_other(store: Store, disk: Disk) -> None:
    fresh = iter(FAR)
    for round_number in range(3):
        tiles = COLD[round_number * 12 :]
        disk.tell("stall")
        for tile_id in tiles[:THREADS]:
            with pytest.raises(ReadDeadlineError):
                store.read(tile_id, SOON_S)
        disk.tell("go")
        far = next(fresh)
        until(lambda far=far: is_read(store, far))  # type: ignore[misc] # bound now


def test_a_reader_that_waits_keeps_no_other_thread_from_its_work(store: Store, disk: Disk) -> None:
    keep_warm(store)
    disk.tell("stall")
    with ThreadPoolExecutor(THREADS) as readers:
        waiting = [readers.submit(store.read, tile_id, LONG_S) for tile_id in (COLD[20], FAR[5])]
        for _ in range(2_000):  # each needs the GIL, which nobody may take to the disk
            store.read(WARM).close()
        assert not any(read.done() for read in waiting)
        disk.tell("go")
        for read in waiting:
            read.result().close()


def test_a_reader_without_a_deadline_waits_for_the_disk(store: Store, disk: Disk) -> None:
    keep_warm(store)
    disk.tell("stall")
    with ThreadPoolExecutor(2) as readers:
        waiting = [readers.submit(store.read, COLD[30], None), readers.submit(store.files.read, FAR[7], None)]
        for _ in range(2_000):
            store.read(WARM).close()
        assert not any(read.done() for read in waiting)
        disk.tell("go")
        with waiting[0].result() as handle:  # type: ignore[union-attr] # a handle, and bytes
            assert bytes(memoryview(handle)) == pixels_of(COLD[30])
        assert waiting[1].result() == pixels_of(FAR[7])


# Run by an interpreter of its own with the folder as its argument.
LEAVING = """
import sys
from pathlib import Path
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.domain.errors import ReadDeadlineError
from aerotile.domain.values.tiles import TileId, TileSource
files = FilesystemTileFiles(Path(sys.argv[1]), reader_threads=2)
tile = TileId(14, 1, 100, TileSource.IMPORTED)
files.exists(tile)  # so that what is missing is the content, for which the kernel waits killably
print('ready', flush=True)
sys.stdin.readline()
try:
    files.open(tile, 0.2)
except ReadDeadlineError as error:
    print(error, flush=True)
"""


def test_a_process_leaves_while_its_threads_hang(disk: Disk) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVING, str(disk.mounted / "tiles")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    disk.tell("stall")
    process.stdin.write("\n")
    process.stdin.flush()
    try:
        assert "within 0.2 s" in process.stdout.readline()
        assert process.wait(60) == 0
    finally:
        disk.tell("go")
        process.kill()
        process.communicate(timeout=60)
