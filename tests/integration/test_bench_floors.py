"""The benchmarks' floors compile and do what their path does, and every target has its path."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from harness.floors import SOURCES, Floors, in_process, running
from harness.subjects import Role
from paths import GROWTH, PATHS
from targets import TARGETS


@pytest.fixture
def floors(tmp_path: Path) -> Floors:
    return Floors(tmp_path / "floors")


@pytest.fixture
def tiles(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with two files, and a list of them."""
    root = tmp_path / "tiles"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"a" * 9000)
    (root / "b.jpg").write_bytes(b"b" * 100)
    listed = tmp_path / "paths"
    listed.write_text("a.jpg\nb.jpg\n", encoding="ascii")
    return root, listed


def test_the_floor_of_a_sealed_base_finds_a_tile_of_its_archive(floors: Floors, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"a" * 20_000)
    row = struct.Struct("<qQ40xI44x")
    (tmp_path / "facts").write_bytes(row.pack(5, 10, 9_000) + row.pack(9, 9_010, 5_000))
    (tmp_path / "keys").write_text("9\n5\n", "ascii")
    arguments = (tmp_path / "facts", tmp_path / "archive", tmp_path / "keys")
    with running(floors.program("sealed_touch"), *arguments) as floor:
        assert len(floor.sample(20)) == 20


def test_the_floor_of_a_seal_copies_every_tile(
    floors: Floors, tiles: tuple[Path, Path], tmp_path: Path
) -> None:
    root, _ = tiles
    listed, target = tmp_path / "sealed paths", tmp_path / "copy"
    listed.write_text(f"{root}/a.jpg\n{root}/b.jpg\n", "ascii")
    with running(floors.program("seal_copy"), listed, target) as floor:
        assert len(floor.sample(2)) == 2
    assert target.read_bytes() == b"a" * 9000 + b"b" * 100


def test_every_target_has_its_path() -> None:
    assert {path.id for path in PATHS} == {target.id for target in TARGETS}


def test_ours_and_the_floor_take_part_in_every_block() -> None:
    shortened = {subject.role for path in PATHS for subject in path.subjects if subject.at_most is not None}
    assert shortened <= {Role.PEER, Role.REFERENCE}


def test_every_ratio_has_its_floor() -> None:
    with_ratio = {target.id for target in TARGETS if target.ratio is not None}
    with_floor = {path.id for path in PATHS if any(s.role is Role.FLOOR for s in path.subjects)}
    assert with_ratio <= with_floor


def test_peers_that_must_be_behind_take_part() -> None:
    for target in TARGETS:
        (path,) = [path for path in PATHS if path.id == target.id]
        peers = [subject.name for subject in path.subjects if subject.role is Role.PEER]
        for name in target.behind:
            assert any(name == "*" or peer.startswith(name) for peer in peers), (target.id, name)


def test_growth_is_drawn_where_it_is_asked_for() -> None:
    assert {curve.id for curve in GROWTH} == {"P-1", "P-5", "P-6", "P-7", "P-15", "P-11", "P-12", "P-17"}


def test_microsecond_paths_have_2000_samples() -> None:
    for path in PATHS:
        target = next(target for target in TARGETS if target.id == path.id)
        if target.p99_s is not None and target.p99_s < 1e-3:
            assert path.full.blocks * path.full.rounds >= 2000, path.id


@pytest.mark.parametrize("program", ["mapped_touch", "map_file", "read_file"])
def test_reading_floors_give_as_many_times_as_asked(
    floors: Floors, tiles: tuple[Path, Path], program: str
) -> None:
    with running(floors.program(program), *tiles) as floor:
        taken = np.concatenate([floor.sample(5), floor.sample(2)])
    assert len(taken) == 7
    assert (taken > 0).all()


@pytest.mark.parametrize("program", ["map_file", "read_file"])
def test_floors_of_first_reads_run_in_this_process(
    floors: Floors, tiles: tuple[Path, Path], program: str
) -> None:
    floor = in_process(floors.load(program), *tiles)
    taken = np.concatenate([floor.sample(5), floor.sample(2)])
    assert len(taken) == 7
    assert (taken > 0).all()
    maps = Path("/proc/self/maps").read_text()
    assert maps.count(f"{tiles[0]}/a.jpg") == (4 if program == "map_file" else 0)


def test_a_floor_that_dies_is_noticed(floors: Floors, tiles: tuple[Path, Path], tmp_path: Path) -> None:
    tiles[1].write_text("missing.jpg\n", encoding="ascii")
    with (
        pytest.raises(RuntimeError, match="exit code 1"),
        running(floors.program("map_file"), tmp_path, tiles[1]),
    ):
        pass


def test_the_grid_answers_from_four_threads(floors: Floors, tmp_path: Path) -> None:
    sectors, questions = tmp_path / "sectors", tmp_path / "questions"
    sectors.write_text("45 25 46 26 1\n45.5 25.5 47 27 0\n", encoding="ascii")
    questions.write_text("18 150000 90000 5\n0 0 0 5\n", encoding="ascii")
    with running(floors.program("sector_grid"), sectors, questions, 3, 9) as floor:
        assert len(floor.sample(10)) == 10


@pytest.mark.parametrize("function", ["place_with_one_sync", "place_with_two_syncs"])
def test_placing_floors_place_the_tile(floors: Floors, tmp_path: Path, function: str) -> None:
    place = getattr(floors.load("place_tile"), function)
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert place(folder, b".tile", b"tile", b"pixels", ctypes.c_size_t(6)) == 0
    finally:
        os.close(folder)
    assert (tmp_path / "tile").read_bytes() == b"pixels"
    assert not (tmp_path / ".tile").exists()


def test_the_bulk_floor_places_every_tile(floors: Floors, tmp_path: Path) -> None:
    library = floors.load("place_many")
    if not library.can_hash():
        pytest.skip("needs OpenSSL's libcrypto")
    tiles = [b"%d" % number * 1000 for number in range(7)]
    strings = ctypes.c_char_p * len(tiles)
    names = [b"%d.jpg" % number for number in range(len(tiles))]
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        failure = library.place_many(
            folder,
            ctypes.c_size_t(len(tiles)),
            strings(*(name + b".tmp" for name in names)),
            strings(*names),
            strings(*tiles),
            (ctypes.c_size_t * len(tiles))(*map(len, tiles)),
            3,
        )
    finally:
        os.close(folder)
    assert failure == 0
    assert [(tmp_path / name.decode()).read_bytes() for name in names] == tiles
    assert not list(tmp_path.glob("*.tmp"))


def test_touch_reads_buffers_and_refuses_what_is_none(floors: Floors) -> None:
    touch = floors.module("pagetouch").touch
    assert touch(b"\1" * 8193) == 3
    assert touch(memoryview(b"")) == 0
    with pytest.raises(TypeError):
        touch("no buffer")


def test_every_floor_is_used() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCES.parent.rglob("*.py"))
    assert [source.stem for source in SOURCES.glob("*.c") if f'"{source.stem}"' not in code] == []
