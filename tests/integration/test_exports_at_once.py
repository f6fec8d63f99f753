"""Two exports to one target at a time: one of them is refused, and neither publishes the other's half."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path

import pytest
from archives import picture

from aerotile.adapters.composition.imagery_parts import create_tile_archive
from aerotile.adapters.files.file_lock import is_free
from aerotile.domain.ports.imagery_source import TilePlace
from aerotile.domain.ports.tile_archive import ArchiveFacts, TileArchiveWriter
from aerotile.domain.values.tile_grid import tile_bbox

NAMES = ("out.mbtiles", "out.pmtiles", "out.gpkg", "out")
PLACE = TilePlace(12, 2177, 1420)
FACTS = ArchiveFacts(name="out", bounds=tile_bbox(*PLACE[1:], 12), zooms=(12,), tile_size_pixels=256)


def fill(writer: TileArchiveWriter) -> None:
    pixels = picture(1)
    writer.add(PLACE, pixels, hashlib.sha256(pixels).digest())


@pytest.mark.parametrize("name", NAMES)
def test_the_second_export_is_refused_and_the_first_is_whole(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    with create_tile_archive(target, most_tiles=1) as first:
        fill(first)
        with pytest.raises(OSError, match="another program is writing it") as refusal:
            create_tile_archive(target, most_tiles=1)
        assert (refusal.value.errno, refusal.value.filename) == (errno.EBUSY, str(target))
        first.finish(FACTS)
    with pytest.raises(FileExistsError, match="not replaced"):
        create_tile_archive(target, most_tiles=1)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES[:3])
def test_what_is_locked_is_written_by_its_own_descriptor_alone(tmp_path: Path, name: str) -> None:
    """Over NFS and SMB, flock on a file shuts out the other descriptors of the same process."""
    with create_tile_archive(tmp_path / name, most_tiles=1) as writer:
        fill(writer)
        locked = [path for path in tmp_path.iterdir() if not is_free(path)]
        assert len(locked) == 1
        assert len([file for file in opened() if os.path.samestat(file, locked[0].stat())]) == 1
        writer.finish(FACTS)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def opened() -> list[os.stat_result]:
    """The files that this process has open."""
    found = []
    for entry in list(os.scandir("/proc/self/fd")):
        with suppress(OSError):  # closed since, by a thread or as the listing itself
            found.append(os.fstat(int(entry.name)))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_a_dead_export_left_is_removed(tmp_path: Path, name: str) -> None:
    remains = tmp_path / f".{name}.partial"
    if "." in name:
        remains.write_bytes(b"half")
    else:
        (remains / "12/2177").mkdir(parents=True)
        (remains / "12/2177/1.jpg").write_bytes(b"half")
        (remains / "metadata.json").write_bytes(b"half")
    with create_tile_archive(tmp_path / name, most_tiles=1) as writer:
        fill(writer)
        writer.finish(FACTS)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sum(1 for path in tmp_path.rglob("*.jpg")) == ("." not in name)


@pytest.mark.parametrize("name", NAMES)
def test_an_export_that_is_not_finished_leaves_nothing(tmp_path: Path, name: str) -> None:
    with create_tile_archive(tmp_path / name, most_tiles=1) as writer:
        fill(writer)
    assert list(tmp_path.iterdir()) == []
