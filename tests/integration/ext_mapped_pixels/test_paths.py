"""What stands in a tile's place: links, folders, pipes, empty files and names that lead elsewhere."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext, suppress
from pathlib import Path
from uuid import UUID

import pytest
from mapped_tiles import FLIGHT, MISSING, PATH, READS, TILE, Read
from open_descriptors import leaving_none_open

from aerotile.adapters.filesystem.layout import tile_path
from aerotile.domain.values.tiles import TileId, TileSource
from aerotile.ext import (
    map_cached_tile,
    open_beneath,
    opens_cached_files_at_once,
    read_cached_tile,
    tile_is_there,
)


@pytest.mark.parametrize(
    "tile_id",
    [
        TileId(0, 0, 0, TileSource.IMPORTED),
        TileId(22, 4194303, 4194303, TileSource.SATELLITE_PROVIDER),
        TileId(18, 152345, 90123, TileSource.ONBOARD, FLIGHT),
        TileId(22, 4194303, 1, TileSource.ONBOARD, UUID(int=0)),
        TileId(1, 1, 1, TileSource.ONBOARD, UUID(int=(1 << 128) - 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("read", READS)
def test_a_tiles_file_lies_where_the_layout_says(
    folder: int, root: Path, tile_id: TileId, read: Read
) -> None:
    path = tile_path(tile_id).tile
    assert not tile_is_there(folder, tile_id)  # which the caches know from now on
    with pytest.raises(FileNotFoundError) as caught:
        read(folder, tile_id)
    assert caught.value.filename == path
    (root / path).parent.mkdir(parents=True)
    (root / path).write_bytes(b"here")
    assert tile_is_there(folder, tile_id)
    assert bytes(memoryview(read(folder, tile_id))) == b"here"  # type: ignore[arg-type] # a buffer


@pytest.mark.parametrize("read", READS)
def test_a_folder_in_a_tiles_place_is_an_os_error(folder: int, root: Path, read: Read) -> None:
    (root / "imported/3/1/6.jpg").mkdir()
    with pytest.raises(IsADirectoryError):
        read(folder, MISSING)
    assert not tile_is_there(folder, MISSING)


@pytest.mark.parametrize("read", READS)
def test_a_file_in_a_folders_place_is_an_os_error(folder: int, root: Path, read: Read) -> None:
    (root / "imported/3/2").touch()
    inside = TileId(3, 2, 5, TileSource.IMPORTED)
    cached = read in (map_cached_tile, read_cached_tile)  # the kernel may leave it to the slow way to say so
    with pytest.raises(NotADirectoryError) if not cached else suppress(NotADirectoryError):
        assert read(folder, inside) is None
    assert not tile_is_there(folder, inside)


@pytest.mark.parametrize("read", READS)
def test_an_empty_file_is_refused(folder: int, root: Path, read: Read) -> None:
    (root / "imported/3/1/6.jpg").touch()
    with pytest.raises(OSError, match="empty") as caught:
        read(folder, MISSING)
    assert caught.value.errno == errno.ENODATA
    assert tile_is_there(folder, MISSING)


@pytest.mark.parametrize("read", READS)
def test_a_fifo_in_the_files_place_does_not_hang_the_reader(folder: int, root: Path, read: Read) -> None:
    os.mkfifo(root / "imported/3/1/6.jpg")
    with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
        read(folder, MISSING)
    assert caught.value.errno == errno.EINVAL
    assert not tile_is_there(folder, MISSING)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("link", ["imported", "imported/3", "imported/3/1", PATH])
def test_no_symbolic_link_is_followed_wherever_it_stands(
    folder: int, root: Path, link: str, read: Read
) -> None:
    (root / link).rename(root / "moved")
    (root / link).symlink_to(root / "moved")
    with leaving_none_open():
        with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
            read(folder, TILE)
        assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
        with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
            open_beneath(folder, PATH, os.O_RDONLY)
        assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
        assert not tile_is_there(folder, TILE)


@pytest.mark.parametrize("read", [*READS, tile_is_there])
@pytest.mark.parametrize(
    "no_tile", [None, PATH, 7, (3, 1, 5, TileSource.IMPORTED, None), TileSource.IMPORTED, TileId], ids=repr
)
def test_what_is_no_tile_id_is_a_type_error(folder: int, read: Read, no_tile: TileId) -> None:
    with pytest.raises(TypeError):
        read(folder, no_tile)


@pytest.mark.parametrize("read", [*READS, tile_is_there])
def test_a_tile_id_that_was_tampered_with_reaches_no_path(folder: int, read: Read) -> None:
    unset = TileId.__new__(TileId)
    with pytest.raises(AttributeError):
        read(folder, unset)
    for attribute, value, error in [
        ("zoom_level", 23, ValueError),
        ("x", -1, ValueError),
        ("y", 8, ValueError),
        ("y", 1 << 70, OverflowError),
        ("x", "../../etc", TypeError),
        ("source", "imported", TypeError),
        ("source", "../..", TypeError),
        ("flight_id", "..", TypeError),
    ]:
        bent = TileId(3, 1, 5, TileSource.IMPORTED)
        object.__setattr__(bent, attribute, value)
        with pytest.raises(error):
            read(folder, bent)


def test_a_path_out_of_the_folder_or_with_a_nul_is_refused(folder: int, root: Path) -> None:
    for path in ("../" + PATH, str(root / PATH)):
        with pytest.raises(OSError):  # noqa: PT011  # EXDEV or EINVAL, by the way that it was opened
            open_beneath(folder, path, os.O_RDONLY)
    with pytest.raises(ValueError, match="NUL"):
        open_beneath(folder, "a\0", os.O_RDONLY)


def test_a_descriptor_opened_beneath_is_closed_on_exec(folder: int) -> None:
    descriptor = open_beneath(folder, PATH, os.O_RDONLY)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("read", [*READS, tile_is_there])
def test_a_descriptor_that_is_no_folder_is_an_os_error(folder: int, root: Path, read: Read) -> None:
    with (
        (root / PATH).open("rb") as file,
        pytest.raises(NotADirectoryError) if read is not tile_is_there else nullcontext(),
    ):
        assert not read(file.fileno(), TILE)
    for ask in (read, lambda folder, _: opens_cached_files_at_once(folder)):
        with pytest.raises(OSError) as caught:  # noqa: PT011  # the errno is what is checked
            ask(-1, TILE)
        assert caught.value.errno == errno.EBADF
