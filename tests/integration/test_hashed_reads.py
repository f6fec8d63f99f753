"""Reading many tiles at once with the hash of each, as a seal does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from open_descriptors import leaving_none_open

from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.domain.errors import StoreUnavailableError, TileNotFoundError
from aerotile.domain.values.tiles import TileId, TileSource

TILES = [TileId(12, 2000 + number % 3, 1500 + number, TileSource.IMPORTED) for number in range(40)]


def path_of(root: Path, tile_id: TileId) -> Path:
    return root / f"imported/12/{tile_id.x}/{tile_id.y}.jpg"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, tile_id in enumerate(TILES):
        path_of(tmp_path, tile_id).parent.mkdir(parents=True, exist_ok=True)
        path_of(tmp_path, tile_id).write_bytes(b"%d" % number * (1 + number * 997))
    return tmp_path


@pytest.fixture
def files(root: Path) -> Iterator[FilesystemTileFiles]:
    with FilesystemTileFiles(root) as files:
        yield files


def test_many_tiles_come_in_order_each_with_its_own_hash(files: FilesystemTileFiles, root: Path) -> None:
    found = files.read_hashed(TILES[::-1])
    assert [pixels for pixels, _ in found] == [path_of(root, each).read_bytes() for each in TILES[::-1]]
    assert [digest for _, digest in found] == [sha256(pixels).digest() for pixels, _ in found]
    assert files.read_hashed([]) == []


def test_a_missing_file_among_many_names_its_own_tile(files: FilesystemTileFiles, root: Path) -> None:
    path_of(root, TILES[7]).unlink()
    with pytest.raises(TileNotFoundError) as caught:
        files.read_hashed(TILES)
    assert caught.value.tile_id == TILES[7]


@pytest.mark.parametrize("damage", ["empty", "link", "folder", "pipe"])
def test_what_is_no_tiles_file_is_refused_and_named(
    files: FilesystemTileFiles, root: Path, damage: str
) -> None:
    path = path_of(root, TILES[3])
    path.unlink()
    if damage == "empty":
        path.touch()
    elif damage == "link":
        path.symlink_to(path_of(root, TILES[6]))
    elif damage == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(StoreUnavailableError, match=str(path)):
        files.read_hashed(TILES)


def test_no_way_out_leaves_a_descriptor_open(files: FilesystemTileFiles, root: Path) -> None:
    with leaving_none_open():
        files.read_hashed(TILES)
    with leaving_none_open(), pytest.raises(TypeError, match="tile_id must be of type TileId"):
        files.read_hashed([*TILES, "imported/12/2000/1500"])  # type: ignore[list-item]
    path_of(root, TILES[20]).unlink()
    with leaving_none_open(), pytest.raises(TileNotFoundError):
        files.read_hashed(TILES)
