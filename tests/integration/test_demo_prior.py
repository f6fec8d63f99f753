"""The prior of the demo: around the true place, wider while the aircraft drifts, none when it is lost."""

from __future__ import annotations

import pytest

from aerotile.adapters.demo.camera import FramePlan
from aerotile.adapters.demo.prior import DRIFTED_TO_M, KNOWN_WITHIN_M, prior_of
from aerotile.domain.values.shapes import Circle
from aerotile.domain.values.tiles import TileId, TileSource


def plan(number: int, lat: float = 47.0, lon: float = 179.0) -> FramePlan:
    return FramePlan(
        number=number, lat=lat, lon=lon, heading_error=0.0, brightness=1.0, contrast=1.0, noise_seed=number
    )


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6])
@pytest.mark.parametrize("lat", [-60.0, 0.0, 66.0])
def test_the_area_holds_the_tile_below_the_aircraft(share: float, lat: float) -> None:
    below = TileId.covering(lat, 179.0, 6, TileSource.SATELLITE_PROVIDER)
    for number in range(50):
        near = prior_of(plan(number, lat), share, 6)
        assert near is not None
        assert near.touches(6, below.x, below.y)


def test_the_area_grows_while_the_aircraft_drifts_until_it_is_lost() -> None:
    radii = []
    for share in (0.0, 0.3, 0.4, 0.5, 0.66):
        near = prior_of(plan(1), share, 6)
        assert near is not None
        (circle,) = near.shapes
        assert isinstance(circle, Circle)
        radii.append(circle.radius_m)
    assert radii[:2] == [KNOWN_WITHIN_M, KNOWN_WITHIN_M]
    assert radii == sorted(radii)
    assert KNOWN_WITHIN_M < radii[-1] <= DRIFTED_TO_M
    assert prior_of(plan(1), 0.7, 6) is None
