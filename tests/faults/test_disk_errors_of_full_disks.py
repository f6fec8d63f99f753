"""Disks that are full, of bytes or of inodes, read-only, taken away; no descriptors; short writes."""

from __future__ import annotations

import hashlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import pytest
from disk_faults import attached, files_below, needs_strace
from fault_tally import FaultTally
from small_store import TILE_BYTES, SmallStore, tile
from waiting import until

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.rows import MemoryTileRows
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader, export_mcap
from aerotile.domain.errors import AerotileError, IndexBuildError, StoreUnavailableError
from aerotile.domain.records import FlightEvent, Kind
from aerotile.domain.tiles import TileId, TileSource

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount small file systems"),
]


def run(*command: str | Path) -> None:
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command}: {ended.stderr}"


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a small file system in memory."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        place = tmp_path / f"mount{len(mounted)}"
        place.mkdir()
        run("mount", "-t", "tmpfs", "-o", options, "aerotile-test", place)
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        run("umount", "--lazy", place)


@pytest.fixture
def opened() -> Iterator[Callable[[Path], SmallStore]]:
    """Open a store, and close it afterwards."""
    caches: list[SmallStore] = []

    def make(root: Path) -> SmallStore:
        caches.append(SmallStore(root))
        return caches[-1]

    yield make
    for cache in caches:
        cache.files.close()


@pytest.mark.parametrize("options", ["size=400k", "size=64m,nr_inodes=70"], ids=["bytes", "inodes"])
@pytest.mark.parametrize("at_once", [1, 40])
def test_a_full_disk_refuses_tiles_until_there_is_room_and_loses_none(
    mount: Callable[..., Path],
    opened: Callable[[Path], SmallStore],
    options: str,
    at_once: int,
    fault_tally: FaultTally,
) -> None:
    cache = opened(mount(options) / "tiles")
    refused: list[AerotileError] = []
    for x in range(60):
        outcomes = cache.write_batch(x, at_once) if at_once > 1 else [cache.write(x, 0)]
        refused += [error for error in outcomes if error is not None]
        if len(refused) >= 20:
            break
    assert all("No space left on device" in str(error) for error in refused)
    assert all("free space" in (error.remedy or "") for error in refused)
    kept = cache.committed()
    assert kept
    cache.assert_whole()
    for tile_id in sorted(kept, key=lambda tile_id: (tile_id.x, tile_id.y))[:10]:
        cache.store.delete_tile(tile_id)
    # Folders stay, so what goes into one that is there needs no inode but its own.
    assert cache.write(next(iter(kept)).x, 200_000) is None
    cache.assert_whole()
    fault_tally.add("full disk: tiles", len(refused))


def test_a_full_disk_refuses_an_index_and_the_old_one_answers_on(
    mount: Callable[..., Path], fault_tally: FaultTally
) -> None:
    import numpy as np

    root = mount("size=1m") / "index"
    descriptors = np.random.default_rng(1).normal(size=(200, 64)).astype(np.float32)

    def build(index: FaissDescriptorIndex, first: int, count: int) -> None:
        ids = [TileId(18, first + row, 7, TileSource.IMPORTED) for row in range(count)]
        index.rebuild(
            ids,
            np.resize(descriptors, (count, 64)),
            descriptor_model="a-network",
            built_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
        )

    index = FaissDescriptorIndex(root, keep_generations=0)
    build(index, 1000, 200)
    before = files_below(root)
    for count in (2500, 4000, 8000):
        with pytest.raises(IndexBuildError, match="No space left on device") as caught:
            build(index, 0, count)
        assert isinstance(caught.value.__cause__, OSError)
        assert files_below(root) == before
        assert index.search(descriptors[0], 1)[0].tile_id.x == 1000
    build(index, 5000, 200)
    assert FaissDescriptorIndex(root).search(descriptors[0], 1)[0].tile_id.x == 5000
    fault_tally.add("full disk: index", 3)


def test_a_full_disk_refuses_an_export_and_keeps_the_old_one(
    mount: Callable[..., Path], tmp_path: Path, fault_tally: FaultTally
) -> None:
    recorder = JsonLinesRecorder(tmp_path / "record", clock=SystemClock())
    for number in range(3000):
        recorder.record(
            FlightEvent(Kind.WRITE, "committed", {"number": number, "noise": os.urandom(100).hex()})
        )
    recorder.close()
    target = mount("size=64k") / "flight.mcap"
    target.write_bytes(b"older")
    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        export_mcap(RecordReader(tmp_path / "record").lines(), target)
    assert files_below(target.parent) == {"flight.mcap": hashlib.sha256(b"older").hexdigest()}
    fault_tally.add("full disk: export", 1)


def test_a_full_disk_under_the_record_costs_no_event_that_is_not_counted(
    mount: Callable[..., Path], fault_tally: FaultTally
) -> None:
    place = mount("size=256k")
    ballast = place / "ballast"
    ballast.write_bytes(bytes(150_000))
    recorder = JsonLinesRecorder(
        place / "record", clock=SystemClock(), queue_size=500, retry_interval_s=0.02, sync_interval_s=0.01
    )
    recorded = 0
    while not (recorder.status().failing and recorder.status().dropped):
        for _ in range(200):
            recorder.record(FlightEvent(Kind.WRITE, "committed", {"number": recorded}))
            recorded += 1
        time.sleep(0.005)
    assert recorder.status().last_error == "No space left on device"
    ballast.unlink()
    until(lambda: not recorder.status().failing)
    recorder.close()
    assert not recorder.status().failing
    envelopes = [line.envelope for line in RecordReader(place / "record").lines()]
    numbers = [e.payload["number"] for e in envelopes if e.kind != "c0.recorder.dropped"]
    counted = sum(e.payload["dropped"] for e in envelopes if e.kind == "c0.recorder.dropped")
    assert numbers == sorted(set(numbers))
    assert counted == recorder.status().dropped == recorded - len(numbers)
    fault_tally.add("full disk: flight record", 1)


def test_a_store_on_a_disk_that_was_remounted_read_only_is_read_on_and_opened(
    mount: Callable[..., Path], opened: Callable[[Path], SmallStore], fault_tally: FaultTally
) -> None:
    place = mount("size=4m")
    cache = opened(place / "tiles")
    assert cache.write(1, 1) is None
    assert cache.write(1, 2) is None
    (place / "tiles/imported/18/1/2.jpg.sha256").unlink()
    run("mount", "-o", "remount,ro", place)
    for error in (cache.write(1, 3), cache.write(2, 3), *cache.write_batch(3, 3)):
        assert error is not None
        assert "Read-only file system" in str(error)
        assert "writable" in (error.remedy or "")
    assert cache.committed() == {tile(1, 1)[1].tile_id, tile(1, 2)[1].tile_id}
    anew = SmallStore(place / "tiles", cache.rows)  # although a sidecar is lost and can't be restored
    for known in (cache, anew):
        for y in (1, 2):
            with known.store.read_tile_pixels(tile(1, y)[1].tile_id) as handle:
                assert bytes(memoryview(handle)) == tile(1, y)[0]
    anew.files.close()
    run("mount", "-o", "remount,rw", place)
    assert cache.write(1, 3) is None
    with suppress(StoreUnavailableError):
        cache.files.restore_sidecar(tile(1, 2)[1].tile_id, tile(1, 2)[1].content_sha256)
    cache.assert_whole()
    fault_tally.add("read-only remount", 5)


def test_a_root_that_was_unmounted_is_used_on_as_it_was_opened_and_not_what_lies_beneath(
    mount: Callable[..., Path], opened: Callable[[Path], SmallStore], fault_tally: FaultTally
) -> None:
    place = mount("size=4m")
    cache = opened(place / "tiles")
    assert cache.write(1, 1) is None
    run("umount", "--lazy", place)
    assert cache.write(1, 2) is None
    with cache.store.read_tile_pixels(tile(1, 2)[1].tile_id) as handle:
        assert bytes(memoryview(handle)) == tile(1, 2)[0]
    assert files_below(place) == {}
    with pytest.raises(StoreUnavailableError, match="belong to another database"):
        SmallStore(place / "tiles", _with_another_identity(cache.rows, place / "tiles"))
    run("mount", "-t", "tmpfs", "aerotile-test", place)  # for the end of the test, which unmounts it
    fault_tally.add("root unmounted", 1)


def _with_another_identity(rows: MemoryTileRows, root: Path) -> MemoryTileRows:
    """Tiles of another store in the place of the one that is gone."""
    with FilesystemTileFiles(root) as files:
        files.claim(UUID(int=99))
    return rows


def test_a_root_that_was_removed_is_named_and_nothing_is_committed(
    tmp_path: Path, opened: Callable[[Path], SmallStore], fault_tally: FaultTally
) -> None:
    cache = opened(tmp_path / "tiles")
    assert cache.write(1, 1) is None
    shutil.rmtree(tmp_path / "tiles")
    for error in (cache.write(1, 2), cache.write(2, 2), *cache.write_batch(3, 2)):
        assert error is not None
        assert "No such file or directory" in str(error)
        assert "removed while it was in use" in (error.remedy or "")
    assert cache.committed() == {tile(1, 1)[1].tile_id}
    fault_tally.add("root removed", 4)


def test_a_root_that_was_moved_away_is_written_on_where_it_is(
    tmp_path: Path, opened: Callable[[Path], SmallStore], fault_tally: FaultTally
) -> None:
    cache = opened(tmp_path / "tiles")
    assert cache.write(1, 1) is None
    (tmp_path / "tiles").rename(tmp_path / "moved")
    (tmp_path / "tiles").mkdir()
    assert cache.write(1, 2) is None
    assert cache.write_batch(2, 3) == [None] * 3
    assert files_below(tmp_path / "tiles") == {}
    cache.root = tmp_path / "moved"
    cache.assert_whole()
    fault_tally.add("root replaced", 2)


# Becomes an ordinary user, whom permissions concern: writes a tile, is locked out, is let in again.
LOCKED_OUT = """
import os
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from small_store import SmallStore
os.chdir(sys.argv[1])
SmallStore(Path("imported everything")).write(1, 1)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
cache = SmallStore(Path("tiles"))
for y in range(3):
    error = cache.write(1, y)
    print(type(error).__name__, error, "|", getattr(error, "remedy", None), flush=True)
    sys.stdin.readline()
cache.assert_whole()
print(sorted(tile_id.y for tile_id in cache.committed()), flush=True)
"""


def test_a_root_that_is_made_unreadable_refuses_tiles_until_it_is_readable_again(
    mount: Callable[..., Path], fault_tally: FaultTally
) -> None:
    place = mount("size=4m,mode=777")
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKED_OUT, str(place), str(here), str(here.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def said() -> str:
        return process.stdout.readline()

    def go_on() -> None:
        process.stdin.write("\n")
        process.stdin.flush()

    try:
        assert said().startswith("NoneType")
        folder = place / "tiles/imported/18/1"
        folder.chmod(0)
        go_on()
        refusal = said()
        assert refusal.startswith("StoreUnavailableError")
        assert "Permission denied" in refusal
        assert "let this process's user" in refusal
        folder.chmod(0o750)
        go_on()
        assert said().startswith("NoneType")
        go_on()
        assert said() == "[0, 2]\n"
    finally:
        process.kill()
        process.communicate()
    fault_tally.add("root unreadable", 1)


def test_without_descriptors_writes_and_reads_fail_and_recover(
    tmp_path: Path, opened: Callable[[Path], SmallStore], fault_tally: FaultTally
) -> None:
    cache = opened(tmp_path / "tiles")
    assert cache.write(1, 1) is None
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    runs = 0
    for spare in range(6):
        resource.setrlimit(resource.RLIMIT_NOFILE, (_next_descriptor() + spare, limits[1]))
        try:
            alone = cache.write(10 + spare, 1)
            batch = cache.write_batch(20 + spare, 12)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for error in (alone, *batch):
            if error is not None:
                runs += 1
                assert "Too many open files" in str(error)
                assert "ulimit -n" in (error.remedy or "")
    assert runs > 20
    cache.assert_whole()
    assert cache.write(2, 1) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == open_now
    fault_tally.add("no descriptors left", runs)


def _next_descriptor() -> int:
    descriptor = os.open("/", os.O_RDONLY)
    os.close(descriptor)
    return descriptor


# Its first write of pixels is cut short by a limit on the size of files, and stops it there.
CUT_SHORT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from small_store import SmallStore
cache = SmallStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(cache.write(1, 1), flush=True)
cache.assert_whole()
print(len(cache.committed()), flush=True)
sys.stdin.readline()
"""


class _Traced:
    def __init__(self, pid: int) -> None:
        self.pid = pid


@needs_strace
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_short_write_is_gone_on_with_or_leaves_nothing(
    tmp_path: Path, goes_on: bool, fault_tally: FaultTally
) -> None:
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", CUT_SHORT, str(tmp_path / "tiles"), str(here), str(here.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (TILE_BYTES // 2, resource.RLIM_INFINITY))
        # The sidecar's write is the first, the pixels' the second, which is cut short.
        stop = ("-o", "/dev/null", "-e", "inject=write:signal=SIGSTOP:when=2")
        with attached(_Traced(process.pid), *stop):  # type: ignore[arg-type] # its pid is all that it takes
            process.stdin.write("\n")
            process.stdin.flush()
            until(
                lambda: (
                    TILE_BYTES // 2 in [path.stat().st_size for path in (tmp_path / "tiles").rglob("*.tmp")]
                )
            )
            if goes_on:
                unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
            while not select.select([process.stdout], [], [], 0.05)[0]:
                os.kill(process.pid, signal.SIGCONT)  # again: it may have come before the stop
            said = process.stdout.readline()
        assert said == "None\n" if goes_on else "File too large" in said
        assert process.stdout.readline() == f"{int(goes_on)}\n"
    finally:
        process.kill()
        process.communicate()
    fault_tally.add("short write", 1)


# Becomes a user who may read the tiles, and whose they are not.
A_READER = """
import os
import sys
os.chdir(sys.argv[1])
from aerotile.domain.tiles import TileId, TileSource
from aerotile.ext import map_cached_tile, map_tile, read_cached_tile, read_tile
folder = os.open(".", os.O_RDONLY)
tile = TileId(18, 1, 1, TileSource.IMPORTED)
def lengths():
    pixels = [read(folder, tile) for read in (map_tile, map_cached_tile, read_tile, read_cached_tile)]
    return [None if some is None else len(bytes(some)) for some in pixels]
as_owner = lengths()
os.setgroups([])
os.setuid(65534)
print(lengths() == as_owner, as_owner[:3])
"""


def test_a_reader_whose_the_tiles_are_not_reads_them_as_fast(
    mount: Callable[..., Path], opened: Callable[[Path], SmallStore]
) -> None:
    """Only their owner may open them without noting when they were read."""
    cache = opened(mount("size=4m") / "tiles")
    assert cache.write(1, 1) is None
    assert cache.write(1, 2) is None
    (cache.root / "imported/18/1/1.jpg").chmod(0o444)
    for folder in ("", "imported", "imported/18", "imported/18/1"):
        (cache.root / folder).chmod(0o755)
    ended = subprocess.run(
        [sys.executable, "-c", A_READER, str(cache.root)], check=False, capture_output=True, text=True
    )
    assert ended.stdout == f"True {[TILE_BYTES] * 3}\n", ended.stderr
