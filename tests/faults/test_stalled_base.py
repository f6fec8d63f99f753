"""A disk that stops or fails under a mapped base: an error in time, a process that lives, and a way back.

A real ext4 on a loop device whose blocks come through /dev/fuse from a program that can be told to wait.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from sealed_bases import NOBODY, imported, pixels_of, seal
from small_store import SmallStore
from stalling_disks import NEEDS_STALLING_DISK, Disk, stalling_disk
from waiting import until

from aerotile.adapters.reader_threads import ReaderThreads
from aerotile.adapters.sealed_base.check import check_base
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.mapped_base import MappedBase, open_base
from aerotile.adapters.sealed_base.store import SealedTileStore
from aerotile.domain.errors import BaseUnavailableError, ReadDeadlineError, StoreUnavailableError
from aerotile.domain.store.layered_store import LayeredTiles
from aerotile.ext import MappedPixels

pytestmark = [pytest.mark.faults, *NEEDS_STALLING_DISK]

SIZE = 40_000
TILES = [imported(14, 6000 + 8 * x, 1500, pixels_of(x, SIZE)) for x in range(600)]
IDS = [row.tile_id for row, _ in TILES]
FAR = 599
"""In the second part of the facts, and far from the first tile in the archive."""
THREADS = 2
SOON_S = 0.1
LONG_S = 120.0
MEANWHILE_S = 5.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk with a base of which nothing is in memory."""
    with stalling_disk(tmp_path) as disk:
        seal(disk.mounted / "base", TILES)
        disk.mount_anew()
        yield disk


@pytest.fixture
def base(disk: Disk) -> Iterator[MappedBase]:
    base = open_base(BaseGenerations(disk.mounted / "base"), "000001", NOBODY, require_signature=False)
    yield base
    disk.tell("go")
    gc.collect()  # the errors that tests caught remember what was mapped where they were raised
    base.close()


StoreMaker = Callable[..., SealedTileStore]


@pytest.fixture
def threads() -> ReaderThreads:
    """The threads of all stores of a test."""
    return ReaderThreads(THREADS)


@pytest.fixture
def store_of(disk: Disk, threads: ReaderThreads) -> Iterator[StoreMaker]:
    """Makes stores over a base, whose threads end with the test."""
    with ExitStack() as closing:

        def make(base: MappedBase, deadline_s: float | None = None) -> SealedTileStore:
            store = SealedTileStore(
                base,
                judge=lambda tile_id, captured_us: None,  # type: ignore[arg-type, return-value] # never called
                read_deadline_s=deadline_s,
                threads=threads,
            )
            closing.callback(store.close)
            return store

        yield make
        disk.tell("go")


def keep_in_memory(base: MappedBase, store: SealedTileStore) -> None:
    """Read the first tile and the facts of all, and keep them: some kernels reclaim what looks cold."""
    assert is_read(store, 0)
    assert store.tile_exists(IDS[FAR])
    base.facts.lock()
    with store.read_tile_pixels(IDS[0]) as handle:
        assert isinstance(handle, MappedPixels)
        handle.lock()


def is_read(store: SealedTileStore, number: int) -> bool:
    try:
        with store.read_tile_pixels_within(IDS[number], LONG_S) as handle:
            return bytes(memoryview(handle)) == TILES[number][1]
    except ReadDeadlineError:
        return False


def test_a_disk_that_fails_under_a_mapped_base_is_an_error_of_the_tile_and_the_process_lives(
    disk: Disk, base: MappedBase, store_of: StoreMaker
) -> None:
    store = store_of(base, LONG_S)
    keep_in_memory(base, store)
    disk.tell("fail")
    assert is_read(store, 0)
    for read in (store.read_tile_pixels, store.read_tile_bytes):
        with pytest.raises(
            StoreUnavailableError, match="can't read tile imported/14/10792/1500 of the sealed"
        ):
            read(IDS[FAR])
    with pytest.raises(StoreUnavailableError):
        store_of(base).read_tile_pixels(IDS[FAR])  # without a deadline, on this thread
    assert any(finding.what == str(IDS[FAR]) for finding in check_base(base))
    disk.tell("go")
    until(lambda: is_read(store, FAR))
    for number in range(600):
        assert is_read(store, number)


def test_facts_that_a_failing_disk_does_not_give_are_an_error(
    disk: Disk, base: MappedBase, store_of: StoreMaker
) -> None:
    store = store_of(base, LONG_S)
    disk.tell("fail")
    for ask in (store.read_tile_pixels, store.tile_exists, store.captured_us, store.verdict):
        with pytest.raises(BaseUnavailableError, match="the disk does not give facts"):
            ask(IDS[FAR])
    disk.tell("go")
    assert store.tile_exists(IDS[FAR])


def test_a_stalled_disk_holds_up_no_first_read_beyond_its_deadline(
    disk: Disk, base: MappedBase, threads: ReaderThreads, store_of: StoreMaker
) -> None:
    store = store_of(base, SOON_S)
    keep_in_memory(base, store)
    disk.tell("stall")
    stalled = False
    for number in range(FAR, 300, -40):
        with pytest.raises(ReadDeadlineError) as caught:
            store.read_tile_pixels(IDS[number])
        assert caught.value.tile_id == IDS[number]
        stalled = stalled or caught.value.stalled
        with store.read_tile_pixels(IDS[0]) as handle:
            assert bytes(memoryview(handle)) == TILES[0][1]
    assert stalled  # every thread hangs, and further reads are refused immediately
    disk.tell("go")
    until(lambda: threads.hanging_threads == 0)  # a thread may be on its way back when the tile is there
    assert is_read(store, FAR)
    for number in range(600):
        assert is_read(store, number)


def test_each_call_may_have_a_time_of_its_own(disk: Disk, base: MappedBase, store_of: StoreMaker) -> None:
    store = store_of(base, LONG_S)
    keep_in_memory(base, store)
    disk.tell("stall")
    with store.read_tile_pixels_within(IDS[0], 0) as handle:
        assert bytes(memoryview(handle)) == TILES[0][1]
    for timeout_s in (0, SOON_S):
        with pytest.raises(ReadDeadlineError) as caught:
            store.read_tile_pixels_within(IDS[FAR], timeout_s)
        assert caught.value.deadline_s == timeout_s
    with ThreadPoolExecutor(1) as readers:
        waiting = readers.submit(store.read_tile_pixels_within, IDS[300], None)
        for _ in range(2_000):  # each needs the GIL, which nobody may take to the disk
            store.read_tile_pixels(IDS[0]).close()
        assert not waiting.done()
        disk.tell("go")
        with waiting.result() as handle:
            assert bytes(memoryview(handle)) == TILES[300][1]


def test_a_look_up_whose_facts_are_not_in_memory_keeps_the_deadline(
    disk: Disk, base: MappedBase, threads: ReaderThreads, store_of: StoreMaker
) -> None:
    store = store_of(base, SOON_S)
    disk.tell("stall")
    for ask in (store.tile_exists, store.captured_us, store.read_tile_pixels):
        with pytest.raises(ReadDeadlineError):
            ask(IDS[FAR])
    disk.tell("go")
    until(lambda: threads.hanging_threads == 0)  # a thread may be on its way back when the tile is there
    assert is_read(store, FAR)


def test_a_store_behind_the_base_waits_for_a_cold_look_up_as_long_as_each_call_says(
    disk: Disk, base: MappedBase, store_of: StoreMaker, tmp_path: Path
) -> None:
    behind = SmallStore(tmp_path / "tiles").store
    row, pixels = imported(14, 6000 + 8 * FAR + 1, 1500)
    behind.write_tile(pixels, row)
    layered = LayeredTiles(store_of(base, MEANWHILE_S), behind)
    disk.tell("stall")
    for tile_id in (IDS[FAR], row.tile_id):  # the facts of the base say which layer holds it
        for timeout_s in (0, SOON_S):
            with pytest.raises(ReadDeadlineError) as caught:
                layered.read_tile_pixels_within(tile_id, timeout_s)
            assert caught.value.deadline_s == timeout_s
    disk.tell("go")
    with layered.read_tile_pixels_within(row.tile_id, None) as handle:
        assert bytes(memoryview(handle)) == pixels


@pytest.mark.parametrize("lock", [False, True])
def test_a_base_that_was_brought_into_memory_waits_for_no_disk(
    disk: Disk, base: MappedBase, store_of: StoreMaker, lock: bool
) -> None:
    base.bring_into_memory(lock=lock)
    for mapped in (base.archive, base.facts):
        assert mapped.is_resident
        mapped.lock()  # as long as this test takes: some kernels reclaim what looks cold
    disk.tell("stall")
    store = store_of(base, SOON_S)
    for number, (_, pixels) in enumerate(TILES):
        with store.read_tile_pixels_within(IDS[number], 0) as handle:
            assert bytes(memoryview(handle)) == pixels


def test_a_failing_disk_is_said_when_a_base_is_brought_into_memory(disk: Disk, base: MappedBase) -> None:
    disk.tell("fail")
    with pytest.raises(BaseUnavailableError, match="the disk does not give"):
        base.bring_into_memory(lock=False)
