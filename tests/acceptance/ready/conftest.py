"""Stores that are ready for a flight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_calls import Call
from ready_calls import POINTS, Place, gpx, places_of, tile


@pytest.fixture
def bring(call: Call, jpeg: Callable[..., bytes]) -> Callable[..., None]:
    """Ingest tiles of places, each with bytes of its own."""
    shades: dict[Place, int] = {}

    def ingest(places: list[Place], captured_at: str, **environment: str) -> None:
        folder = Path(f"tiles-{len(list(Path().glob('tiles-*')))}")
        for place in places:
            zoom, x, y = map(str, place)
            (folder / zoom / x).mkdir(parents=True, exist_ok=True)
            (folder / zoom / x / f"{y}.jpg").write_bytes(jpeg(shades.setdefault(place, len(shades))))
        assert call("ingest", folder, "--captured-at", captured_at, "--no-decode", **environment).code == 0

    return ingest


@pytest.fixture
def describe(call: Call) -> Callable[..., None]:
    def build(places: list[Place], **environment: str) -> None:
        descriptors = np.random.default_rng(5).normal(size=(len(places), 16)).astype(np.float32)
        np.savez("d.npz", tiles=[tile(place) for place in places], descriptors=descriptors)
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
