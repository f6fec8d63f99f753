"""Stores that are ready for a flight."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from cli_calls import Call
from ready_calls import POINTS, Place, gpx, places_of, tile


@pytest.fixture
def picture(jpeg: Callable[..., bytes]) -> Callable[[Place], bytes]:
    """The bytes of the tile of a place, each with bytes of its own."""
    shades: dict[Place, int] = {}
    return lambda place: jpeg(shades.setdefault(place, len(shades)))


@pytest.fixture
def bring(call: Call, picture: Callable[[Place], bytes]) -> Callable[..., None]:
    """Ingest tiles of places."""

    def ingest(places: list[Place], captured_at: str, **environment: str) -> None:
        folder = Path(f"tiles-{len(list(Path().glob('tiles-*')))}")
        for place in places:
            zoom, x, y = map(str, place)
            (folder / zoom / x).mkdir(parents=True, exist_ok=True)
            (folder / zoom / x / f"{y}.jpg").write_bytes(picture(place))
        assert call("ingest", folder, "--captured-at", captured_at, "--no-decode", **environment).code == 0

    return ingest


@pytest.fixture
def describe(call: Call, picture: Callable[[Place], bytes]) -> Callable[..., None]:
    """Build an index of tiles of places that says from which bytes it was made."""

    def build(
        places: list[Place], newer: Mapping[Place, bytes] = MappingProxyType({}), **environment: str
    ) -> None:
        descriptors = np.random.default_rng(5).normal(size=(len(places), 16)).astype(np.float32)
        contents = [newer.get(place) or picture(place) for place in places]
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        np.savez("d.npz", tiles=[tile(place) for place in places], descriptors=descriptors, sha256=digests)
        assert call("index", "build", "d.npz", "--model", "net", **environment).code == 0

    return build


@pytest.fixture
def places(call: Call) -> list[Place]:
    """What the route of `READY` needs; its file is written."""
    Path("route.gpx").write_text(gpx(POINTS))
    return places_of(POINTS, 2_000.0, (10, 11))


@pytest.fixture
def filled(
    places: list[Place], bring: Call, describe: Call, call: Call, days_ago: Callable[[int], str]
) -> list[Place]:
    """A store that is ready for the flight."""
    bring(places, days_ago(100))
    describe(places)
    assert call("verify").code == 0
    return places
