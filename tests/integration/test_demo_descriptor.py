"""The demo's descriptor: it finds places off the grid, in other light, with a wrong heading."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest

from aerotile.adapters.demo.camera import FramePlan, take_frame, tile_ground_span
from aerotile.adapters.demo.imagery import BlueMarble, Pixels, decode_tile, encode_tile
from aerotile.adapters.demo.mission import CAPE_TO_BEIJING, along, plan_frames
from aerotile.adapters.descriptor_models.gradient_vlad import DIMENSION, GradientVlad, Vectors
from aerotile.domain.errors import DescriptorModelError
from aerotile.domain.values.tile_grid import Bbox, GridRange, column_and_row

pytestmark = pytest.mark.xdist_group("demo_descriptor")  # one learned model for all of them
ZOOM = 6
AREA = Bbox(10.0, 20.0, 45.0, 65.0)
PLACE = FramePlan(number=0, lat=30.2, lon=44.1, heading_error=0.0, brightness=1.0, contrast=1.0, noise_seed=5)


@pytest.fixture(scope="module")
def blue_marble() -> BlueMarble:
    return BlueMarble.load()


@pytest.fixture(scope="module")
def tiles(blue_marble: BlueMarble) -> dict[tuple[int, int], Pixels]:
    """The area's tiles as the store gives them back: through their JPEG."""
    grid = GridRange.covering(AREA, ZOOM)
    return {(x, y): decode_tile(encode_tile(blue_marble.cut_tile(ZOOM, x, y))) for x, y in grid}


@pytest.fixture(scope="module")
def model(tiles: dict[tuple[int, int], Pixels]) -> GradientVlad:
    return GradientVlad.fit(list(tiles.values()), seed=7)


def described(model: GradientVlad, image: Pixels) -> Vectors:
    return model.describe(image[np.newaxis])[0]


def frame(blue_marble: BlueMarble, **changes: float) -> Pixels:
    plan = attrs.evolve(PLACE, **changes)
    return take_frame(blue_marble, plan, ground_span_m=tile_ground_span(plan.lat, ZOOM))


def test_19_of_20_frames_over_land_find_their_tile_among_five_candidates(
    blue_marble: BlueMarble, tiles: dict[tuple[int, int], Pixels], model: GradientVlad
) -> None:
    index = model.describe(np.stack(list(tiles.values())))
    places = list(tiles)
    plans = [
        plan
        for plan in plan_frames(CAPE_TO_BEIJING, 300, seed=11)
        if AREA.contains(plan.lat, plan.lon) and blue_marble.is_land(plan.lat, plan.lon)
    ]
    hits = 0
    for plan in plans:
        seen = take_frame(blue_marble, plan, ground_span_m=tile_ground_span(plan.lat, ZOOM))
        nearest = np.argsort(-index @ described(model, seen))[:5]
        hits += column_and_row(plan.lat, plan.lon, ZOOM) in [places[row] for row in nearest]
    assert len(plans) > 80
    assert hits >= 0.95 * len(plans)


@pytest.mark.parametrize(
    ("changes", "likeness"),
    [
        ({"brightness": 0.8}, 0.93),
        ({"brightness": 1.2}, 0.93),
        ({"contrast": 0.8}, 0.93),
        ({"contrast": 1.2}, 0.93),
        ({"noise_seed": 6}, 0.93),
        ({"heading_error": 5.0}, 0.85),
        ({"heading_error": -5.0}, 0.85),
        ({"lon": PLACE.lon + 0.5}, 0.85),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_spoiled_frame_stays_alike_while_another_place_is_not(
    blue_marble: BlueMarble, model: GradientVlad, changes: dict[str, float], likeness: float
) -> None:
    plain = described(model, frame(blue_marble))
    elsewhere = described(model, frame(blue_marble, lat=PLACE.lat - 12.0))
    assert plain @ described(model, frame(blue_marble, **changes)) > likeness
    assert plain @ elsewhere < 0.4


def test_a_descriptor_is_512_numbers_of_unit_length(blue_marble: BlueMarble, model: GradientVlad) -> None:
    for image in (
        frame(blue_marble),
        np.zeros((256, 256, 3), np.uint8),
        np.full((256, 256, 3), 255, np.uint8),
    ):
        descriptor = described(model, image)
        assert descriptor.shape == (DIMENSION,)
        assert descriptor.dtype == np.float32
        assert np.linalg.norm(descriptor) == pytest.approx(1.0, abs=1e-5)


def test_the_same_seed_learns_the_same_model(
    tiles: dict[tuple[int, int], Pixels], model: GradientVlad
) -> None:
    images = list(tiles.values())
    assert GradientVlad.fit(images, seed=7).name == model.name
    assert GradientVlad.fit(images, seed=8).name != model.name


def test_an_image_of_another_size_is_refused(model: GradientVlad) -> None:
    with pytest.raises(ValueError, match=r"\(128, 128, 3\)"):
        described(model, np.zeros((128, 128, 3), np.uint8))


def test_a_file_of_one_array_is_no_learned_descriptor(tmp_path: Path) -> None:
    with (tmp_path / "learned.npz").open("wb") as file:
        np.save(file, np.zeros(3, np.float32))
    with pytest.raises(DescriptorModelError, match="is no learned descriptor, or it is damaged"):
        GradientVlad.load(tmp_path / "learned.npz")


def test_too_few_images_to_learn_from_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 64 images, got 3"):
        GradientVlad.fit([np.zeros((256, 256, 3), np.uint8)] * 3)


def test_learning_reports_every_image(tiles: dict[tuple[int, int], Pixels]) -> None:
    images = list(tiles.values())[:64]
    seen: list[tuple[int, int]] = []
    GradientVlad.fit(images, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 64) for done in range(1, 65)]


def test_the_same_seed_plans_the_same_frames() -> None:
    assert plan_frames(CAPE_TO_BEIJING, 20, seed=3) == plan_frames(CAPE_TO_BEIJING, 20, seed=3)
    assert plan_frames(CAPE_TO_BEIJING, 20, seed=3) != plan_frames(CAPE_TO_BEIJING, 20, seed=4)


def test_the_mission_stays_in_its_area_and_over_land(blue_marble: BlueMarble) -> None:
    plans = plan_frames(CAPE_TO_BEIJING, 160, seed=1)
    assert all(CAPE_TO_BEIJING.area.contains(plan.lat, plan.lon) for plan in plans)
    assert sum(blue_marble.is_land(plan.lat, plan.lon) for plan in plans) >= 150


def test_the_mission_crosses_every_sector() -> None:
    plans = plan_frames(CAPE_TO_BEIJING, 160, seed=1)
    for sector in CAPE_TO_BEIJING.sectors:
        assert any(sector.bbox.contains(plan.lat, plan.lon) for plan in plans), sector.sector_id


def test_places_along_a_route_lie_at_equal_distances() -> None:
    places = along([(0.0, 0.0), (0.0, 30.0), (60.0, 30.0)], 10)
    assert places[0] == pytest.approx((0.0, 0.0), abs=1e-9)
    assert places[2] == pytest.approx((0.0, 20.0))
    assert places[3] == pytest.approx((0.0, 30.0), abs=1e-6)
    assert places[-1] == pytest.approx((60.0, 30.0))


@pytest.mark.parametrize(
    ("waypoints", "count"), [([(0.0, 0.0)], 5), ([(0.0, 0.0), (1.0, 1.0)], 1), ([(5.0, 5.0), (5.0, 5.0)], 4)]
)
def test_a_route_without_length_is_refused(waypoints: list[tuple[float, float]], count: int) -> None:
    with pytest.raises(ValueError, match="a route needs"):
        along(waypoints, count)
