"""The picture of the ground that tiles cover: whole files, every gap visible."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from aerotile.adapters.cli.coverage import check_map_file
from aerotile.adapters.cli.coverage_map import draw_coverage, encode_png, write_map
from aerotile.adapters.cli.errors import BadInputError, JobFailedError
from aerotile.adapters.config.settings import AerotileConfig
from aerotile.domain.values.coverage import coverage_of, runs_of

ALL, PART, NONE, FRAME = (0, 112, 60), (255, 176, 64), (255, 255, 255), (64, 64, 64)


def drawn(*places: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    return draw_coverage(coverage_of(runs_of(places)))


def cells(picture: npt.NDArray[np.uint8], columns: int, rows: int) -> list[list[tuple[int, ...]]]:
    """The colours of the cells of the first panel, below its title."""
    frame = np.argwhere((picture == FRAME).all(axis=2))
    left = frame[:, 1].min()
    below = frame[:, 0].max()
    top = next(y for y in range(below) if (picture[y : below + 1, left] == FRAME).all() and y > 20)
    right = left
    while right + 1 < picture.shape[1] and (picture[top, right + 1] == FRAME).all():
        right += 1
    width, height = (right - left - 1) // columns, (below - top - 1) // rows
    return [
        [
            tuple(
                map(
                    int, picture[top + 1 + height * row + height // 2, left + 1 + width * column + width // 2]
                )
            )
            for column in range(columns)
        ]
        for row in range(rows)
    ]


def test_a_png_is_read_by_another_library_with_the_same_pixels() -> None:
    picture = np.random.default_rng(18).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), picture)


def test_north_is_above_and_a_tile_that_lacks_is_a_gap() -> None:
    picture = drawn((7, 60, 40), (7, 61, 40), (7, 60, 42))
    assert cells(picture, 2, 3) == [[ALL, ALL], [NONE, NONE], [ALL, NONE]]


def test_a_gap_that_is_smaller_than_a_pixel_is_not_hidden() -> None:
    block = [(18, x, y) for x in range(2048) for y in range(8)]
    whole = drawn(*block)
    assert (whole == ALL).all(axis=2).any()
    assert not (whole == PART).all(axis=2).any()
    one_lacks = drawn(*(place for place in block if place != (18, 1000, 3)))
    assert (one_lacks == PART).all(axis=2).sum() == 1
    assert max(one_lacks.shape[:2]) < 600


def test_both_sides_of_the_antimeridian_are_neighbours() -> None:
    picture = drawn((10, 1023, 5), (10, 0, 5))
    assert cells(picture, 2, 1) == [[ALL, ALL]]


def test_each_zoom_has_a_panel_of_its_own() -> None:
    one, two = drawn((15, 5, 5)), drawn((15, 5, 5), (16, 10, 10))
    assert two.shape[1] > one.shape[1]
    assert drawn().size > 0


def test_a_map_replaces_the_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "map.png"
    file.write_bytes(b"old")
    write_map(file, coverage_of(runs_of([(7, 60, 40)])))
    assert file.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


@pytest.mark.parametrize("name", ["nowhere/map.png", "map.jpg", "map"])
def test_a_name_that_no_map_can_have_is_refused(tmp_path: Path, name: str) -> None:
    config = AerotileConfig(root=tmp_path / "store")
    with pytest.raises(BadInputError, match="map"):
        check_map_file(tmp_path / name, config)
    check_map_file(tmp_path / "map.png", config)
    check_map_file(None, config)


def test_a_map_that_can_not_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(JobFailedError, match=r"folder\.png can't be written"):
        write_map(tmp_path / "folder.png", [])
