"""Roots that are read-only, unmounted, removed, moved away or not one's own to read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from disk_faults import files_below
from fault_tally import FaultTally
from mounting import run
from sealed_bases import NOBODY, source_of, square
from small_store import TILE_BYTES, SmallStore, tile

import aerotile
from aerotile.adapters.composition import Runtime
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.domain.errors import StoreUnavailableError

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount small file systems"),
]


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


def test_a_base_on_a_disk_that_is_mounted_read_only_is_read_and_judged(
    mount: Callable[..., Path], fault_tally: FaultTally
) -> None:
    place = mount("size=8m")
    tiles = square(6)
    generations = BaseGenerations(place / "base")
    generations.seal(source_of(tiles), SealPlan())
    generations.switch_to("000001", NOBODY, require_signature=False, recall_number=0)
    run("mount", "-o", "remount,ro", place)
    config = aerotile.AerotileConfig(
        root=place,
        database=aerotile.DatabaseConfig(embedded_binaries=Path("nowhere")),
        base=aerotile.BaseConfig(require_signature=False),
    )
    with Runtime(config) as runtime:
        for row, pixels in tiles:
            with runtime.sealed_store.read_tile_pixels(row.tile_id) as handle:
                assert bytes(memoryview(handle)) == pixels
            assert runtime.sealed_store.verdict(row.tile_id) is not None
    assert {path.name for path in place.iterdir()} == {"base"}
    run("mount", "-o", "remount,rw", place)
    fault_tally.add("read-only base", 1)


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


# Becomes a user who may read the tiles, and whose they are not.
A_READER = """
import os
import sys
os.chdir(sys.argv[1])
from aerotile.domain.values.tiles import TileId, TileSource
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
