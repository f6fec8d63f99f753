"""The filesystem's tile files on a real disk: modes, links, foreign things in the way, closing."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from open_descriptors import leaving_none_open
from staged_tiles import PIXELS, TILE, TILE_PATH, files_below, stage

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.ports.tile_files import MALFORMED_SIDECAR
from aerotile.domain.values.inventory import FoundFile, FoundKind
from aerotile.domain.values.tiles import TileId, TileSource


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tiles"


@pytest.fixture
def files(root: Path) -> Iterator[FilesystemTileFiles]:
    with FilesystemTileFiles(root) as files:
        yield files


def test_the_root_and_its_parents_are_made_for_the_owner_and_group_alone(root: Path) -> None:
    earlier = os.umask(0o022)
    try:
        with FilesystemTileFiles(root) as files:
            files.place(stage(files))
    finally:
        os.umask(earlier)
    for folder in (root.parent, root, root / "imported", root / "imported" / "3" / "1"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_opening_a_root_that_is_there_changes_nothing(root: Path) -> None:
    root.mkdir(parents=True)
    root.chmod(0o700)
    FilesystemTileFiles(root).close()
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_file_in_the_roots_place_is_one_clear_line(root: Path) -> None:
    root.parent.mkdir(parents=True)
    root.touch()
    with pytest.raises(
        StoreUnavailableError, match=r"cannot open the tile folder .*tiles: Not a directory"
    ) as caught:
        FilesystemTileFiles(root)
    assert caught.value.remedy is not None
    assert isinstance(caught.value.__cause__, OSError)


def test_the_root_may_lie_behind_the_operators_own_symbolic_link(root: Path) -> None:
    (root.parent.parent / "disk").mkdir()
    root.parent.symlink_to(root.parent.parent / "disk")
    with FilesystemTileFiles(root) as files:
        files.place(stage(files))
    assert (root.parent.parent / "disk" / "tiles" / TILE_PATH).is_file()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_accepts_every_sidecar_in_its_folder(files: FilesystemTileFiles, root: Path) -> None:
    tiles = [TileId(3, x, y, TileSource.IMPORTED) for x in range(3) for y in range(3)]
    files.place_many([stage(files, tile_id) for tile_id in tiles[:8]])
    files.place(stage(files, tiles[8]))
    files.restore_sidecar(tiles[0], hashlib.sha256(PIXELS).hexdigest())
    for sidecar in root.rglob("*.sha256"):
        subprocess.run(
            ["sha256sum", "--quiet", "--strict", "-c", sidecar.name], cwd=sidecar.parent, check=True
        )
    assert len(files_below(root)) == 18


def test_every_file_is_read_only(files: FilesystemTileFiles, root: Path) -> None:
    files.place(stage(files))
    files.place_many([stage(files, TileId(3, 1, 6, TileSource.IMPORTED))])
    earlier = os.umask(0o777)
    try:
        files.restore_sidecar(TILE, "0" * 64)
    finally:
        os.umask(earlier)
    assert {stat.S_IMODE((root / path).stat().st_mode) for path in files_below(root)} == {0o440}


def test_the_inventory_ignores_what_is_not_the_stores(files: FilesystemTileFiles, root: Path) -> None:
    files.place(stage(files))
    folder = (root / TILE_PATH).parent
    for name in ("README", "5.jpeg", "05.jpg", "99.jpg", ".5.jpg", ".nfs0001"):
        (folder / name).touch()
    (folder / "6.jpg").mkdir()
    os.mkfifo(folder / "7.jpg")
    (root / "lost+found").mkdir()
    (root / "imported" / "3" / "x").mkdir()
    (root / "5.jpg").touch()
    assert set(files.inventory()) == {
        FoundFile(FoundKind.TILE, TILE),
        FoundFile(FoundKind.SIDECAR, TILE),
    }


def test_the_inventory_names_temporary_files_of_dead_writers(files: FilesystemTileFiles, root: Path) -> None:
    files.place(stage(files))
    temporary = root / "imported/3/1/.5.jpg.4711-0badcafe-3.tmp"
    temporary.touch()
    (found,) = [found for found in files.inventory() if found.kind is FoundKind.TEMPORARY]
    assert found.tile_id == TILE
    files.discard(found)
    assert not temporary.exists()


def test_the_inventory_follows_no_symbolic_link(
    files: FilesystemTileFiles, root: Path, tmp_path: Path
) -> None:
    with FilesystemTileFiles(tmp_path / "elsewhere") as elsewhere:
        elsewhere.place(stage(elsewhere))
    (root / "imported").symlink_to(tmp_path / "elsewhere" / "imported")
    (root / "satellite_provider" / "3" / "1").mkdir(parents=True)
    (root / "satellite_provider" / "3" / "1" / "5.jpg").symlink_to(tmp_path / "elsewhere" / TILE_PATH)
    assert list(files.inventory()) == []


def test_an_inventory_passes_by_folders_that_vanish_meanwhile(files: FilesystemTileFiles, root: Path) -> None:
    for x in range(4):
        files.place(stage(files, TileId(3, x, 5, TileSource.IMPORTED)))
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            for x in (0, 2, 3):
                shutil.rmtree(root / "imported" / "3" / str(x))
                (root / "imported" / "3" / str(x)).mkdir()

    with ThreadPoolExecutor(1) as threads:
        going = threads.submit(come_and_go)
        try:
            for _ in range(500):
                found = [file for file in files.inventory() if file.tile_id.x == 1]
                assert found == [FoundFile(kind, TILE) for kind in (FoundKind.TILE, FoundKind.SIDECAR)]
        finally:
            done.set()
        going.result()


def test_inventories_in_many_threads_each_see_everything(files: FilesystemTileFiles, root: Path) -> None:
    for source in (TileSource.IMPORTED, TileSource.SATELLITE_PROVIDER):
        files.place(stage(files, TileId(3, 1, 5, source)))
    for number in range(2000):  # a root whose listing takes the kernel several calls
        (root / f"foreign-{number:040}").mkdir()
    start = threading.Barrier(4)

    def count(_: int) -> int:
        start.wait()
        return len(list(files.inventory()))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(count, range(4))) == [4] * 4


@pytest.mark.parametrize("link", ["imported", "imported/3", "imported/3/1", TILE_PATH])
def test_a_symbolic_link_in_a_tiles_path_makes_it_unreadable_not_someone_elses(
    files: FilesystemTileFiles, root: Path, tmp_path: Path, link: str
) -> None:
    files.place(stage(files))
    moved = tmp_path / "moved"
    (root / link).rename(moved)
    (root / link).symlink_to(moved)
    assert not files.exists(TILE)
    for read in (files.open, files.content_sha256):
        with pytest.raises(StoreUnavailableError) as caught:
            read(TILE)
        assert str(root / TILE_PATH) in str(caught.value)
        assert "symbolic link" in (caught.value.remedy or "")


def test_an_empty_tile_file_is_damage_not_a_tile(files: FilesystemTileFiles, root: Path) -> None:
    files.place(stage(files))
    (root / TILE_PATH).unlink()
    (root / TILE_PATH).touch()
    with pytest.raises(StoreUnavailableError, match="empty") as caught:
        files.open(TILE)
    assert "aerotile verify" in (caught.value.remedy or "")


def test_the_hash_is_of_the_file_as_it_is_now(files: FilesystemTileFiles, root: Path) -> None:
    files.place(stage(files))
    (root / TILE_PATH).chmod(0o640)
    (root / TILE_PATH).write_bytes(b"damaged")
    assert files.content_sha256(TILE) == hashlib.sha256(b"damaged").hexdigest()


@pytest.mark.parametrize("content", [b"", b"\0" * 73, b"\xff" * 73, b"0" * 64 + b"  6.jpg\n", b"0" * 10_000])
def test_a_damaged_sidecar_claims_nothing_and_can_be_restored(
    files: FilesystemTileFiles, root: Path, content: bytes
) -> None:
    files.place(stage(files))
    sidecar = root / (TILE_PATH + ".sha256")
    sidecar.unlink()
    sidecar.write_bytes(content)
    assert files.sidecar_sha256(TILE) == MALFORMED_SIDECAR
    files.restore_sidecar(TILE, "0" * 64)
    assert files.sidecar_sha256(TILE) == "0" * 64


def test_a_folder_removed_by_hand_is_made_again(files: FilesystemTileFiles, root: Path) -> None:
    files.place(stage(files))
    shutil.rmtree(root / "imported")
    files.place(stage(files))
    shutil.rmtree(root / "imported")
    assert files.place_many([stage(files)]) == [None]
    assert files_below(root) == {TILE_PATH, TILE_PATH + ".sha256"}


def test_a_root_removed_by_hand_is_one_clear_line(files: FilesystemTileFiles, root: Path) -> None:
    shutil.rmtree(root)
    with pytest.raises(StoreUnavailableError, match="No such file") as caught:
        files.place(stage(files))
    assert "removed" in (caught.value.remedy or "")


def test_one_bad_place_does_not_sink_its_batch(files: FilesystemTileFiles, root: Path) -> None:
    good, bad = TileId(3, 1, 5, TileSource.IMPORTED), TileId(3, 2, 5, TileSource.IMPORTED)
    (root / "imported" / "3").mkdir(parents=True)
    (root / "imported" / "3" / "2").write_text("in the way")
    outcome = files.place_many([stage(files, bad), stage(files, good)])
    assert isinstance(outcome[0], StoreUnavailableError)
    assert isinstance(outcome[0].__cause__, OSError)
    assert outcome[1] is None
    assert files_below(root) == {TILE_PATH, TILE_PATH + ".sha256", "imported/3/2"}


def test_one_bad_place_does_not_sink_a_batch_that_is_written_ahead(
    files: FilesystemTileFiles, root: Path
) -> None:
    (root / "imported" / "9").mkdir(parents=True)
    (root / "imported" / "9" / "2").write_text("in the way")
    batch = [stage(files, TileId(9, n % 4, n, TileSource.IMPORTED)) for n in range(40)]
    with files.prewriting(batch):
        outcome = files.place_many(batch)
    assert [isinstance(error, StoreUnavailableError) for error in outcome] == [n % 4 == 2 for n in range(40)]
    assert len(files_below(root)) == 61


def test_what_a_closed_store_was_to_write_ahead_is_not_written(
    files: FilesystemTileFiles, root: Path
) -> None:
    batch = [stage(files, TileId(9, n, n, TileSource.IMPORTED)) for n in range(40)]
    files.close()
    with files.prewriting(batch), pytest.raises(StoreUnavailableError, match="closed"):
        files.place_many(batch)
    assert files_below(root) == set()


def test_a_folder_in_the_tiles_place_fails_that_tile_alone(files: FilesystemTileFiles, root: Path) -> None:
    (root / "imported" / "3" / "1" / "5.jpg").mkdir(parents=True)
    outcome = files.place_many([stage(files), stage(files, TileId(3, 1, 6, TileSource.IMPORTED))])
    assert isinstance(outcome[0], StoreUnavailableError)
    assert outcome[1] is None
    assert files_below(root) == {"imported/3/1/6.jpg", "imported/3/1/6.jpg.sha256"}


def test_a_closed_store_answers_in_our_own_words(files: FilesystemTileFiles) -> None:
    staged = stage(files)
    files.place(staged)
    handle = files.open(TILE)
    files.close()
    files.close()
    for call in (
        lambda: files.open(TILE),
        lambda: files.exists(TILE),
        lambda: files.remove(TILE),
        lambda: list(files.inventory()),
        lambda: files.place_many([staged]),
        lambda: files.withdraw(staged),
    ):
        with pytest.raises(StoreUnavailableError, match="closed"):
            call()
    assert bytes(handle) == PIXELS  # type: ignore[call-overload]  # the ABC does not show the buffer
    handle.close()


def test_no_operation_leaves_a_descriptor_open(files: FilesystemTileFiles) -> None:
    def work() -> None:
        staged = stage(files)
        files.place_many([staged])
        files.withdraw(staged)
        files.place(staged)
        files.open(TILE).close()
        files.exists(TILE)
        files.content_sha256(TILE)
        files.sidecar_sha256(TILE)
        files.restore_sidecar(TILE, "0" * 64)
        for found in list(files.inventory()):
            files.discard(found)
        files.remove(TILE)

    work()
    with leaving_none_open():
        for _ in range(10):
            work()
        gc.collect()
