"""Reads that wait for nothing: what they read at once, and what they leave to the long way."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import attrs
import pytest
from older_kernel import REFUSE
from open_descriptors import leaving_none_open

from aerotile.adapters.filesystem.folders import OpenFolder
from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.memory.mapping_cache import MemoryMappingCache
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.domain.values.pixels import TilePixelHandle
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from aerotile.ext import CompiledMappingCache, CompiledTileCatalogue, FastReader, map_tile

CONTENT = bytes(range(256)) * 33  # not a whole number of pages
TILE = TileId(3, 1, 5, TileSource.IMPORTED)
UNKNOWN = TileId(3, 1, 6, TileSource.IMPORTED)
PATH = "imported/3/1/5.jpg"
LONG_WAY = b"read the long way"

needs_a_disk = pytest.mark.skipif(
    os.major(Path(tempfile.gettempdir()).stat().st_dev) == 0,
    reason="needs a temporary folder on a block device, whose pages can be dropped",
)


def committed(tile_id: TileId, disk_bytes: int) -> TileMetadataPersistent:
    now = datetime(2024, 5, 2, tzinfo=timezone.utc)
    metadata = example_metadata(tile_id, b"a", captured_at=now)
    return TileMetadataPersistent.of(attrs.evolve(metadata, disk_bytes=disk_bytes), created_at=now)


class Store:
    """A folder with one committed tile, and a long way that says that it was asked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / PATH
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(CONTENT)
        self.folder = OpenFolder(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
        self.mapping_cache = CompiledMappingCache(max_count=8, max_bytes=1 << 24)
        self.catalogue = CompiledTileCatalogue()
        self.catalogue.add(committed(TILE, len(CONTENT)))
        self.reads = FastReader(
            self.folder,
            self.mapping_cache,
            self.catalogue,
            slow_read_pixels=self.slow_read_pixels,
            slow_read_bytes=lambda tile_id: LONG_WAY,
        )

    def slow_read_pixels(self, tile_id: TileId) -> TilePixelHandle:
        raise LookupError(tile_id)

    def leaves_to_the_long_way(self, tile_id: TileId = TILE) -> bool:
        with pytest.raises(LookupError):
            self.reads.read_pixels(tile_id)
        assert self.reads.read_bytes(tile_id) == LONG_WAY  # which begins to read ahead what is not there
        return self.mapping_cache.counts().kept == 0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.mapping_cache.close()


def maps_of(path: Path) -> int:
    return Path("/proc/self/maps").read_text().count(str(path))


def test_a_committed_tile_is_read_kept_and_noted(store: Store) -> None:
    handle = store.reads.read_pixels(TILE)
    assert bytes(memoryview(handle)) == CONTENT
    assert bytes(memoryview(store.reads.read_pixels(TILE))) == CONTENT
    counts = store.mapping_cache.counts()
    assert (counts.hits, counts.misses, counts.kept, counts.kept_bytes) == (1, 1, 1, len(CONTENT))
    assert store.mapping_cache.drain_reads() == [TILE]
    assert maps_of(store.path) == 1


def test_a_check_is_called_for_tiles_that_are_not_cached_and_may_refuse(store: Store) -> None:
    checked: list[TileId] = []
    store.reads.check_by(checked.append)
    for _ in range(3):
        store.reads.read_pixels(TILE)
    assert checked == [TILE]
    store.reads.read_bytes(TILE)
    assert checked == [TILE, TILE]

    def refuse(tile_id: TileId) -> None:
        raise PermissionError(str(tile_id))

    store.reads.check_by(refuse)
    store.reads.read_pixels(TILE)
    store.mapping_cache.invalidate(TILE)
    for read in (store.reads.read_pixels, store.reads.read_bytes):
        with pytest.raises(PermissionError, match=str(TILE)):
            read(TILE)
    assert store.mapping_cache.counts().kept == 0
    store.reads.check_by(None)
    store.reads.read_pixels(TILE)


def test_a_tile_that_is_recalled_while_it_is_checked_is_not_kept(store: Store) -> None:
    """The list comes between the check and the cache: only the read that began before ends with its tile."""
    store.reads.check_by(lambda tile_id: store.mapping_cache.invalidate_all())
    assert bytes(memoryview(store.reads.read_pixels(TILE))) == CONTENT
    assert store.mapping_cache.counts().kept == 0


def test_bytes_are_a_copy_that_is_noted_and_keeps_nothing(store: Store) -> None:
    assert store.reads.read_bytes(TILE) == CONTENT
    assert store.mapping_cache.drain_reads() == [TILE]
    assert store.mapping_cache.counts().kept == 0
    assert maps_of(store.path) == 0


def test_reading_keeps_no_descriptor(store: Store) -> None:
    with leaving_none_open():
        for _ in range(100):
            store.reads.read_bytes(TILE)
            store.reads.read_pixels(TILE)
            store.mapping_cache.invalidate(TILE)


def test_a_handle_outlives_drop_and_file(store: Store) -> None:
    handle = store.reads.read_pixels(TILE)
    store.mapping_cache.invalidate(TILE)
    store.path.unlink()
    assert store.leaves_to_the_long_way()
    assert bytes(memoryview(handle)) == CONTENT


def test_a_file_without_a_committed_row_is_never_read(store: Store) -> None:
    store.path.with_name("6.jpg").write_bytes(CONTENT)
    assert store.leaves_to_the_long_way(UNKNOWN)
    store.catalogue.remove(TILE)
    assert store.leaves_to_the_long_way()


@pytest.mark.parametrize(
    "length", [0, 1, len(CONTENT) - 1, len(CONTENT) + 1, len(CONTENT) + 100_000, 1 << 22]
)
def test_a_file_of_another_length_than_was_committed_is_left_to_the_long_way(
    store: Store, length: int
) -> None:
    store.path.write_bytes(bytes(length))
    assert store.leaves_to_the_long_way()


def test_what_would_take_long_to_copy_is_mapped_but_not_copied(store: Store) -> None:
    large = CONTENT * 200
    store.path.write_bytes(large)
    store.catalogue.add(committed(TILE, len(large)))
    assert store.reads.read_bytes(TILE) == LONG_WAY
    assert bytes(memoryview(store.reads.read_pixels(TILE))) == large


@pytest.mark.parametrize("thing", ["nothing", "folder", "FIFO", "symbolic link"])
def test_what_is_no_file_is_left_to_the_long_way(store: Store, thing: str) -> None:
    elsewhere = store.path.with_name("elsewhere")
    store.path.rename(elsewhere)
    if thing == "folder":
        store.path.mkdir()
    elif thing == "FIFO":
        os.mkfifo(store.path)
    elif thing == "symbolic link":
        store.path.symlink_to(elsewhere)
    assert store.leaves_to_the_long_way()


def test_a_folder_of_a_tiles_length_is_left_to_the_long_way(store: Store) -> None:
    store.path.unlink()
    store.path.mkdir()
    descriptor = os.open(store.path, os.O_RDONLY)
    length = min(os.lseek(descriptor, 0, os.SEEK_END), (1 << 40) - 1)
    os.close(descriptor)
    store.catalogue.add(committed(TILE, length))
    assert store.leaves_to_the_long_way()


def test_a_symbolic_link_in_the_middle_is_not_followed(store: Store) -> None:
    column = store.path.parent
    column.rename(column.with_name("2"))
    column.symlink_to("2")
    assert store.leaves_to_the_long_way()


@needs_a_disk
def test_what_the_page_cache_lacks_is_left_to_the_long_way(store: Store) -> None:
    drop_pages(store.path, len(CONTENT))
    assert store.leaves_to_the_long_way()
    assert maps_of(store.path) == 0
    store.path.read_bytes()
    assert store.reads.read_bytes(TILE) == CONTENT


@needs_a_disk
def test_a_part_that_the_page_cache_lacks_is_enough(store: Store) -> None:
    large = CONTENT * 100  # more than the page cache drops or keeps in one
    store.path.write_bytes(large)
    store.catalogue.add(committed(TILE, len(large)))
    drop_pages(store.path, 0, since=len(large) // 2)
    assert store.leaves_to_the_long_way()


def drop_pages(path: Path, length: int, since: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, since, length, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def test_without_a_descriptor_left_reads_go_the_long_way_and_recover(store: Store) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        asked = store.reads.read_bytes(TILE)
        with pytest.raises(LookupError):
            store.reads.read_pixels(TILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert asked == LONG_WAY
    assert store.reads.read_bytes(TILE) == CONTENT


def test_what_can_not_be_mapped_goes_the_long_way_and_recovers(store: Store) -> None:
    length = 1 << 33  # a sparse file: its length alone is what counts here
    with store.path.open("r+b") as file:
        file.truncate(length)
    store.catalogue.add(committed(TILE, length))
    assert store.leaves_to_the_long_way()
    store.path.write_bytes(CONTENT)
    store.catalogue.add(committed(TILE, len(CONTENT)))
    assert bytes(memoryview(store.reads.read_pixels(TILE))) == CONTENT


def test_closed_it_reads_nothing_but_what_is_kept(store: Store) -> None:
    store.reads.read_pixels(TILE).close()
    store.reads.close()
    store.reads.close()
    assert bytes(memoryview(store.reads.read_pixels(TILE))) == CONTENT
    store.mapping_cache.invalidate(TILE)
    assert store.leaves_to_the_long_way()


def test_a_reader_that_may_not_skip_the_access_time_reads_all_the_same(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to read another user's file as nobody")
    tmp_path.chmod(0o755)
    store = Store(tmp_path)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            pixels = bytes(memoryview(store.reads.read_pixels(TILE)))
            status = int((pixels, store.reads.read_bytes(TILE)) != (CONTENT, CONTENT))
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_other_parts_than_the_compiled_ones_are_a_type_error(store: Store) -> None:
    def make(kept: object, catalogue: object) -> None:
        FastReader(
            store.folder,
            kept,  # type: ignore[arg-type] # that is the point
            catalogue,  # type: ignore[arg-type]
            slow_read_pixels=store.slow_read_pixels,
            slow_read_bytes=lambda tile_id: LONG_WAY,
        )

    with pytest.raises(TypeError, match=r"expected aerotile\.ext\.mapping_cache\.CompiledMappingCache"):
        make(MemoryMappingCache(), store.catalogue)
    with pytest.raises(TypeError, match=r"expected aerotile\.ext\.catalogue\.CompiledTileCatalogue"):
        make(store.mapping_cache, MemoryTileCatalogue())


@pytest.mark.parametrize("no_tile", [None, "3/1/5", (3, 1, 5), object()])
def test_what_is_no_tile_id_is_a_type_error(store: Store, no_tile: TileId) -> None:
    with pytest.raises(TypeError):
        store.reads.read_pixels(no_tile)
    with pytest.raises(TypeError):
        store.reads.read_bytes(no_tile)


def test_another_reader_s_mapping_is_taken_over(store: Store) -> None:
    ticket = store.mapping_cache.ticket(TILE)
    mine = store.reads.read_pixels(TILE)
    theirs = store.mapping_cache.put(TILE, map_tile(store.folder.fileno(), TILE), ticket)
    assert (store.mapping_cache.counts().kept, bytes(memoryview(theirs))) == (1, bytes(memoryview(mine)))


@needs_a_disk
def test_an_older_kernel_tells_cold_from_warm_all_the_same(tmp_path: Path) -> None:
    script = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
{REFUSE}
from test_ext_fast_reads import CONTENT, LONG_WAY, TILE, Store, drop_pages, maps_of
store = Store(Path(sys.argv[1]))
assert bytes(memoryview(store.reads.read_pixels(TILE))) == CONTENT
assert store.reads.read_bytes(TILE) == LONG_WAY
store.mapping_cache.invalidate(TILE)
store.mapping_cache.release()
drop_pages(store.path, len(CONTENT))
assert store.leaves_to_the_long_way()
assert maps_of(store.path) == 0
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
