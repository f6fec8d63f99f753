"""Kept mappings against the operating system: who unmaps, how much may wait, what happens without memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import CompiledMappingCache, MappedPixels, map_tile

CONTENT = bytes(range(256)) * 33
TILES = [TileId(14, x % 128, x // 128, TileSource.IMPORTED) for x in range(6_000)]
GRAVES = 4_096


@pytest.fixture
def root(tmp_path: Path) -> Path:
    first = tmp_path / "imported/14/0/0.jpg"
    for tile_id in TILES:
        path = tmp_path / f"imported/14/{tile_id.x}/{tile_id.y}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if tile_id is TILES[0]:
            path.write_bytes(CONTENT)
        else:
            os.link(first, path)  # one file under many names: a mapping each
    return tmp_path


@pytest.fixture
def folder(root: Path) -> Iterator[int]:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def maps_below(root: Path) -> int:
    return Path("/proc/self/maps").read_text().count(str(root))


def keep(kept: CompiledMappingCache, folder: int, tile_id: TileId) -> None:
    ticket = kept.ticket(tile_id)
    kept.put(tile_id, map_tile(folder, tile_id), ticket).close()


def test_evicting_dropping_and_closing_unmap_nothing_until_the_release(folder: int, root: Path) -> None:
    kept = CompiledMappingCache(max_count=2, max_bytes=1 << 30)
    for tile_id in TILES[:5]:
        keep(kept, folder, tile_id)
    last = kept.get(TILES[4])
    kept.invalidate(TILES[4])
    assert last is not None
    last.close()
    assert maps_below(root) == 5
    assert (kept.counts().kept, kept.counts().waiting) == (1, 4)
    assert kept.release() == 4
    assert maps_below(root) == 1
    assert (kept.counts().waiting, kept.counts().released, kept.counts().released_by_readers) == (0, 4, 0)


def test_a_mapping_in_use_is_not_released(folder: int, root: Path) -> None:
    kept = CompiledMappingCache(max_count=1, max_bytes=1 << 30)
    keep(kept, folder, TILES[0])
    held = kept.get(TILES[0])
    keep(kept, folder, TILES[1])
    assert kept.release() == 0
    assert held is not None
    assert bytes(held) == CONTENT
    held.close()
    assert kept.release() == 1
    assert maps_below(root) == 1


def test_the_loser_of_two_first_readers_is_not_unmapped_by_a_reader_either(folder: int, root: Path) -> None:
    kept = CompiledMappingCache(max_count=8, max_bytes=1 << 30)
    ticket = kept.ticket(TILES[0])
    for _ in range(2):
        kept.put(TILES[0], map_tile(folder, TILES[0]), ticket).close()
    void = kept.ticket(TILES[1])
    kept.invalidate(TILES[1])
    kept.put(TILES[1], map_tile(folder, TILES[1]), void).close()
    assert maps_below(root) == 3
    assert kept.release() == 2


def test_only_so_many_mappings_wait_and_a_releaser_is_called_before(folder: int, root: Path) -> None:
    called: list[int] = []
    kept = CompiledMappingCache(
        max_count=1, max_bytes=1 << 30, when_waiting=lambda: called.append(kept.counts().waiting)
    )
    for tile_id in TILES:
        keep(kept, folder, tile_id)
    assert called == [GRAVES // 4]
    counts = kept.counts()
    assert (counts.waiting, counts.released_by_readers) == (GRAVES, len(TILES) - 1 - GRAVES)
    assert maps_below(root) == GRAVES + 1
    assert kept.release() == GRAVES
    for tile_id in TILES[: GRAVES // 2]:
        keep(kept, folder, tile_id)
    assert called == [GRAVES // 4] * 2


def test_after_close_the_last_handle_unmaps(folder: int, root: Path) -> None:
    kept = CompiledMappingCache(max_count=8, max_bytes=1 << 30)
    for tile_id in TILES[:3]:
        keep(kept, folder, tile_id)
    held = kept.get(TILES[0])
    kept.close()
    assert maps_below(root) == 1
    assert held is not None
    assert bytes(held) == CONTENT
    held.close()
    assert maps_below(root) == 0
    keep(kept, folder, TILES[0])
    assert maps_below(root) == 0


def test_forgetting_it_unmaps_all_but_what_is_in_use(folder: int, root: Path) -> None:
    kept = CompiledMappingCache(max_count=2, max_bytes=1 << 30)
    for tile_id in TILES[:5]:
        keep(kept, folder, tile_id)
    held = kept.get(TILES[4])
    kept.note(TILES[5])
    del kept
    assert maps_below(root) == 1
    assert held is not None
    assert bytes(held) == CONTENT
    del held
    assert maps_below(root) == 0


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_count": -1, "max_bytes": 1},
        {"max_count": 1, "max_bytes": -1},
        {"max_count": 1 << 21, "max_bytes": 1},
        {"max_count": 1, "max_bytes": 1, "flush_entries": 0},
    ],
)
def test_impossible_bounds_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="can't cache"):
        CompiledMappingCache(**bounds)


def test_misuse_is_an_error_and_leaves_everything_as_it_was(folder: int) -> None:
    kept = CompiledMappingCache(max_count=8, max_bytes=1 << 30)
    keep(kept, folder, TILES[0])
    for no_tile in (None, "imported/1/1/1", 7, object()):
        for call in (kept.get, kept.ticket, kept.invalidate, kept.note):
            with pytest.raises(TypeError):
                call(no_tile)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            kept.put(no_tile, map_tile(folder, TILES[0]), 0)  # type: ignore[arg-type]
    for no_handle in (None, b"bytes", memoryview(b"bytes")):
        with pytest.raises(TypeError):
            kept.put(TILES[1], no_handle, 0)  # type: ignore[arg-type]
    closed = map_tile(folder, TILES[1])
    closed.close()
    for empty in (closed, MappedPixels.__new__(MappedPixels)):
        with pytest.raises(ValueError, match="closed"):
            kept.put(TILES[1], empty, 0)
    with map_tile(folder, TILES[1]) as whole, pytest.raises(ValueError, match="a part of the pixels"):
        kept.put(TILES[1], whole.part(0, 1), kept.ticket(TILES[1]))
    with pytest.raises(OverflowError):
        kept.put(TILES[1], map_tile(folder, TILES[1]), -1)
    assert (kept.counts().kept, kept.counts().hits) == (1, 0)
    assert kept.drain_reads() == [TILES[0]]


def test_a_tile_id_that_does_something_when_it_dies_finds_everything_in_order(folder: int) -> None:
    class Dying(TileId):  # type: ignore[misc]  # final by convention only
        def __del__(self) -> None:
            assert kept.counts().kept <= 2
            keep(kept, folder, TILES[9])
            kept.make_room()

    kept = CompiledMappingCache(max_count=2, max_bytes=1 << 30)
    for _ in range(50):
        for tile_id in TILES[:4]:
            dying = Dying(tile_id.zoom_level, tile_id.x, tile_id.y, tile_id.source)
            keep(kept, folder, dying)
            kept.drain_reads()
            del dying
            kept.invalidate(tile_id)
    for number in range(70_000):  # more than are remembered, so that the oldest go
        dies = number % 1000 == 0
        kept.note(Dying(14, number % 100, 1, TileSource.IMPORTED) if dies else TILES[number % 50])
    assert len(kept.drain_reads()) <= 65_536 + 2
    kept.close()


def test_one_thread_reads_while_another_closes_and_a_third_releases(folder: int) -> None:
    for _ in range(50):
        kept = CompiledMappingCache(max_count=4, max_bytes=1 << 30)
        start = threading.Barrier(3)

        def read(kept: CompiledMappingCache = kept, start: threading.Barrier = start) -> None:
            start.wait()
            for tile_id in TILES[:20]:
                keep(kept, folder, tile_id)
                handle = kept.get(tile_id)
                if handle is not None:
                    assert bytes(handle) == CONTENT
                    handle.close()

        def release(kept: CompiledMappingCache = kept, start: threading.Barrier = start) -> None:
            start.wait()
            for _ in range(10):
                kept.release()

        others = [threading.Thread(target=read), threading.Thread(target=release)]
        for other in others:
            other.start()
        start.wait()
        kept.close()
        for other in others:
            other.join()
        kept.release()


# Run by an interpreter of its own with the folder as its argument.
EXHAUSTED = """
import mmap, resource, sys
from datetime import datetime, timezone
from pathlib import Path
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.domain.errors import NoMappingLeftError, StoreUnavailableError
from aerotile.domain.store.read_tile import TileReader
from aerotile.domain.store.recall_guard import NoRecalls, RecallGuard
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import CompiledMappingCache

tiles = [TileId(14, x % 128, x // 128, TileSource.IMPORTED) for x in range(3000)]
files = FilesystemTileFiles(Path(sys.argv[1]))
kept = CompiledMappingCache(max_count=3000, max_bytes=1 << 30)
reader = TileReader(
    files=files, catalogue=set(tiles), mapping_cache=kept,
    when_missing=lambda tile_id: None, verify_hash=False,
    recalls=RecallGuard(NoRecalls(), lambda event: None), accepts=lambda tile_id, content_sha256: False
)
for tile_id in tiles[:100]:
    reader.read_first(tile_id, None).close()
size = int(Path('/proc/self/statm').read_text().split()[0]) * mmap.PAGESIZE
resource.setrlimit(resource.RLIMIT_AS, (size + (2 << 20), size + (2 << 20)))
for tile_id in tiles:
    with reader.read_first(tile_id, None) as handle:
        assert handle.nbytes == 8448
assert 100 < kept.counts().kept < 3000, kept.counts()
print('went on', kept.counts().evicted > 0, kept.counts().released > 0)
held = []
try:
    for _ in range(100_000):
        held.append(files.open(tiles[0]))
except NoMappingLeftError as error:
    print(error)
    print(error.remedy)
try:
    for tile_id in tiles:
        held.append(reader.read_first(tile_id, None))
except StoreUnavailableError:
    print('refused')
print(len(reader.read_bytes(tiles[5], None)))
del held
reader.read_first(tiles[5], None).close()
"""


def test_a_system_that_maps_no_more_is_given_mappings_back_and_then_said_so(root: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EXHAUSTED, str(root)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )
    assert ended.stderr == ""
    went_on, error, remedy, refused, length = ended.stdout.splitlines()
    assert went_on == "went on True True"
    assert error == f"cannot map tile file {root}/imported/14/0/0.jpg: Cannot allocate memory"
    assert "reads.max_mappings" in remedy
    assert refused == "refused"
    assert length == str(len(CONTENT))


@pytest.mark.parametrize("close", ["kept.close()", ""])
def test_the_interpreter_exits_cleanly_with_mapping_cache(root: Path, close: str) -> None:
    script = f"""
import os, sys, threading
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import CompiledMappingCache, map_tile
folder = os.open(sys.argv[1], os.O_RDONLY)
kept = CompiledMappingCache(max_count=4, max_bytes=1 << 30, when_full=lambda: kept.counts(), flush_entries=1)
def work():
    for number in range(1_000_000_000):
        tile_id = TileId(14, number % 20, 0, TileSource.IMPORTED)
        handle = kept.put(tile_id, map_tile(folder, tile_id), kept.ticket(tile_id))
        sys.kept = [handle, memoryview(handle)]
        kept.release()
        started.set()
started = threading.Event()
threading.Thread(target=work, daemon=True).start()
started.wait()
{close}
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
