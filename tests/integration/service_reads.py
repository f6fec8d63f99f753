"""Sources over a server of tiles, and what they read."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

from tile_server import TileServer, tile_of

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.imagery.picture_places import tiles_at
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.tile_services.address import TileAddress
from aerotile.adapters.tile_services.service_source import ServiceTerms, TileServiceSource
from aerotile.domain.policies.tile_fetching import FetchLimits
from aerotile.domain.ports.imagery_source import ImageryTile, ReadPlace, TilePlace

START = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
PATH = "/tiles/{z}/{x}/{y}.jpg"


def block(side: int, zoom_level: int = 12) -> list[TilePlace]:
    return [TilePlace(zoom_level, 2000 + x, 1300 + y) for x in range(side) for y in range(side)]


def path_of(place: TilePlace) -> str:
    return f"/tiles/{place}.jpg"


def source_at(
    server: TileServer, clock: ManualClock, token: str | None = None, **limits: float
) -> TileServiceSource:
    address = TileAddress(server.address + PATH, None if token is None else Secret(token))
    return source_of(address, clock, limits=FetchLimits(**limits))  # type: ignore[arg-type] # by name


def source_of(address: TileAddress, clock: ManualClock, **terms: Any) -> TileServiceSource:
    def made(place: TilePlace, content: bytes, decoded: Collection[TilePlace]) -> ReadPlace:
        return tiles_at(address.template, [place], content, 256, [None], decoded)[0]

    return TileServiceSource(
        address, ServiceTerms(clock=clock, user_agent="aerotile/test", **terms), picture=made
    )


def read_all(
    server: TileServer, clock: ManualClock, places: list[TilePlace], **limits: float
) -> list[ReadPlace]:
    with source_at(server, clock, **limits) as source:
        return list(source.read(places))


def are_the_tiles(read: list[ReadPlace], places: list[TilePlace]) -> bool:
    return [(one.place, one.pixels) for one in read if isinstance(one, ImageryTile)] == [
        (place, tile_of(path_of(place))) for place in places
    ]
