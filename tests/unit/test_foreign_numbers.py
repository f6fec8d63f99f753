"""Numbers of NumPy where a plain one is meant: taken where their values are right, else refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timezone
from fractions import Fraction
from typing import Any

import attrs
import numpy as np
import pytest

from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.policies.upload_retry import RetryBudget
from aerotile.domain.values.areas import Area, Circle, Polygon
from aerotile.domain.values.descriptors import HnswParams
from aerotile.domain.values.tile_grid import Bbox, GridRange, ground_sample_distance
from aerotile.domain.values.tiles import TileId, TileMetadata, TileQualityMetadata, TileSource
from aerotile.domain.values.validators import check_timeout

IMPORTED = TileSource.IMPORTED
METADATA = TileMetadata(
    tile_id=TileId(5, 1, 2, IMPORTED),
    captured_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
    content_sha256="0" * 64,
    disk_bytes=300,
    ground_sample_distance=2.5,
)
WHOLE: list[tuple[Callable[[Any], Any], str, int]] = [
    (lambda n: TileId(n, 1, 2, IMPORTED), "zoom_level", 5),
    (lambda n: TileId(9, n, 2, IMPORTED), "x", 5),
    (lambda n: TileId(9, 1, n, IMPORTED), "y", 5),
    (lambda n: TileId.covering(48.0, 11.0, n, IMPORTED), "zoom_level", 17),
    (lambda n: attrs.evolve(METADATA, disk_bytes=n), "disk_bytes", 100),
    (lambda n: attrs.evolve(METADATA, tile_size_pixels=n), "tile_size_pixels", 100),
    (lambda n: TileQualityMetadata(1.5, n, 0.5, 9.5), "inlier_count", 41),
    (lambda n: HnswParams(m=n), "m", 32),
    (lambda n: HnswParams(ef_construction=n), "ef_construction", 100),
    (lambda n: HnswParams(ef_search=n), "ef_search", 100),
    (lambda n: BatchLimits(max_tiles=n), "max_tiles", 100),
    (lambda n: RetryBudget(max_in_call_retries=n), "max_in_call_retries", 3),
    (lambda n: Area((Bbox(1, 2, 3, 4),), [n]), "zoom_level", 5),
    (lambda n: list(Area((Bbox(1, 2, 3, 4),)).spans(n)), "zoom_level", 5),
    (lambda n: GridRange.covering(Bbox(1, 2, 3, 4), n), "zoom_level", 5),
    (lambda n: ground_sample_distance(48.0, n), "zoom_level", 17),
    (lambda n: ground_sample_distance(48.0, 17, n), "tile_size_pixels", 100),
]
REAL: list[tuple[Callable[[Any], Any], str, float]] = [
    (lambda n: TileId.covering(n, 11.0, 17, IMPORTED), "lat", 48.5),
    (lambda n: TileId.covering(48.0, n, 17, IMPORTED), "lon", 11.5),
    (lambda n: ground_sample_distance(n, 17), "lat", 48.5),
    (lambda n: Bbox(n, 2, 50, 4), "min_lat", 48.5),
    (lambda n: Bbox(1, n, 3, 40), "min_lon", 11.5),
    (lambda n: Bbox(1, 2, n, 4), "max_lat", 48.5),
    (lambda n: Bbox(1, 2, 3, n), "max_lon", 11.5),
    (lambda n: Circle(n, 11.0, 500.0), "lat", 48.5),
    (lambda n: Circle(48.0, n, 500.0), "lon", 11.5),
    (lambda n: Circle(48.0, 11.0, n), "radius_m", 500.5),
    (lambda n: Polygon([[(n, 1.0), (30.0, 2.0), (31.0, 5.0)]]), "lon", 11.5),
    (lambda n: attrs.evolve(METADATA, ground_sample_distance=n), "ground_sample_distance", 0.5),
    (lambda n: TileQualityMetadata(n, 41, 0.5, 9.5), "horizontal_error_m", 2.5),
    (lambda n: TileQualityMetadata(1.5, 41, n, 9.5), "mean_reprojection_error_px", 0.75),
    (lambda n: TileQualityMetadata(1.5, 41, 0.5, n), "sharpness", 123.5),
    (lambda n: RetryBudget(backoff_base_s=n), "backoff_base_s", 2.5),
]


def named(cases: list[tuple[Callable[[Any], Any], str, Any]]) -> list[Any]:
    return [pytest.param(*case, id=f"{number}-{case[1]}") for number, case in enumerate(cases)]


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.int8])
@pytest.mark.parametrize(("make", "name", "value"), named(WHOLE))
def test_a_whole_number_of_numpy_is_taken_as_a_plain_one(
    make: Callable[[Any], Any], name: str, value: int, kind: type[np.integer[Any]]
) -> None:
    assert repr(make(kind(value))) == repr(make(value))


class NamedZoom(int):
    def __repr__(self) -> str:
        return "../street"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return "../street"


@pytest.mark.parametrize(("make", "name", "value"), named(WHOLE))
def test_a_whole_number_that_writes_itself_otherwise_is_taken_as_a_plain_one(
    make: Callable[[Any], Any], name: str, value: int
) -> None:
    assert repr(make(NamedZoom(value))) == repr(make(value))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize(("make", "name", "value"), named(REAL))
def test_a_real_number_of_numpy_is_taken_as_a_plain_one(
    make: Callable[[Any], Any], name: str, value: float, kind: type[np.floating[Any]]
) -> None:
    assert float(kind(value)) == value
    assert repr(make(kind(value))) == repr(make(value))


@pytest.mark.parametrize(("make", "name", "value"), named(REAL))
def test_a_whole_number_is_taken_where_a_real_one_is_meant(
    make: Callable[[Any], Any], name: str, value: float
) -> None:
    whole = int(value) or 1
    for number in (whole, np.int16(whole), Fraction(whole)):
        assert repr(make(number)) == repr(make(float(whole)))


@pytest.mark.parametrize(
    "wrong",
    [True, np.True_, 3.0, np.float64(3.0), "3", b"3", None, np.array(3), np.array([3]), 3j, np.int64(-1)],
    ids=repr,
)
@pytest.mark.parametrize(("make", "name", "value"), named(WHOLE))
def test_what_is_no_whole_number_is_refused_by_the_parameters_name(
    make: Callable[[Any], Any], name: str, value: int, wrong: object
) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got "):
        make(wrong)


@pytest.mark.parametrize(
    "wrong",
    [True, np.True_, "48.5", None, np.array([1.5]), 3j, np.float32("nan"), np.float64("inf"), 10**400],
    ids=lambda wrong: repr(wrong)[:20],
)
@pytest.mark.parametrize(("make", "name", "value"), named(REAL))
def test_what_is_no_number_is_refused_by_the_parameters_name(
    make: Callable[[Any], Any], name: str, value: float, wrong: object
) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got "):
        make(wrong)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (None, None),
        (0, 0.0),
        (np.float32(0.5), 0.5),
        (np.int16(2), 2.0),
        (Fraction(1, 2), 0.5),
        (math.inf, None),
        (1e300, None),
        (10**400, None),
    ],
    ids=lambda number: repr(number)[:20],
)
def test_a_time_to_wait_is_one_that_threads_can_wait_for(given: Any, plain: float | None) -> None:
    waited = check_timeout(given)
    assert waited == plain
    assert waited is None or type(waited) is float


@pytest.mark.parametrize("wrong", [-1, math.nan, True, "1", 3j, np.array([1.5])], ids=repr)
def test_what_is_no_time_to_wait_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^timeout_s must be .*, got "):
        check_timeout(wrong)
