"""The map page as a Starlette application: which view is at which address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ...domain.errors import AerotileError
from . import flight, imagery, readiness, views
from .answers import (
    RefusedError,
    answer_failure,
    answer_http_error,
    answer_refused,
    answer_unavailable,
    json_response,
)
from .assets import asset_at, read_assets
from .bodies import read_body
from .guard import Guard, KnownHosts
from .metrics import PageMetrics
from .parameters import named
from .supply import MapSupply

_QUICK_THREADS = 8
_HEAVY_THREADS = 2
"""Views that read many tiles or a record wait for each other, so that pictures don't wait for them."""
MOST_ROUTES = 16
"""Routes whose files arrive, wait and are judged at a time: their bodies are held in memory."""
_View = Callable[[MapSupply, Request], Response]
_HEAVY: dict[str, _View] = {
    "/coverage": views.coverage,
    "/coverage/{z}": views.coverage_cells,
    "/freshness/{z}": views.freshness_cells,
    "/record": flight.flight,
    "/tiles.json": imagery.tile_json,
}
_QUICK: dict[str, _View] = {
    "/catalog": views.catalog,
    "/sectors.geojson": views.sectors,
    "/tiles/{z}/{x}/{y}.jpg": imagery.tile_picture,
    "/tiles/{z}/{x}/{y}": views.tile_facts,
}


class MapPage:
    """Answers with what a supply has; whatever may wait runs on threads beside the event loop."""

    def __init__(self, supply: MapSupply) -> None:
        """Raises `RuntimeNotAvailableError` where Leaflet is not installed."""
        self._supply = supply
        self._assets = read_assets()
        self._metrics = PageMetrics(supply)
        self._quick = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="map-page")
        self._routes = 0
        self._one_route = asyncio.Lock()
        self._heavy = ThreadPoolExecutor(_HEAVY_THREADS, thread_name_prefix="map-page-heavy")

    def application(self, hosts: KnownHosts) -> ASGIApp:
        """The application that a server runs, which answers to `hosts` alone."""
        routes = [
            *(self._route(path, view, self._quick) for path, view in _QUICK.items()),
            *(self._route(path, view, self._heavy) for path, view in _HEAVY.items()),
            self._route("/health", _health, self._quick),
            self._route("/metrics", self._exposition, self._quick),
            self._route("/", self._page, self._quick),
            self._route("/static/{path:path}", self._asset, self._quick),
            Route("/base.pmtiles", self._archive, methods=["GET"]),
            Route("/ready", self._readiness, methods=["POST"]),
        ]
        starlette = Starlette(
            routes=routes,
            exception_handlers={
                RefusedError: answer_refused,
                HTTPException: answer_http_error,
                AerotileError: answer_unavailable,
                Exception: answer_failure,
            },
        )
        starlette.router.redirect_slashes = False
        return Guard(starlette, hosts, self._metrics.note)

    def close(self) -> None:
        """Wait for the answers under way; later ones fail."""
        self._quick.shutdown(cancel_futures=True)
        self._heavy.shutdown(cancel_futures=True)

    def _route(self, path: str, view: _View, pool: ThreadPoolExecutor) -> Route:
        async def endpoint(request: Request) -> Response:
            loop = asyncio.get_running_loop()
            answer: Response = await loop.run_in_executor(pool, view, self._supply, request)
            return answer

        endpoint.__name__ = view.__name__.strip("_")
        return Route(path, endpoint, methods=["GET"])

    async def _archive(self, request: Request) -> Response:
        named(request)
        if self._supply.archive is None:
            raise RefusedError(404, "no base is served here, so there is no archive")

        async def off_loop(function: Callable[..., Any], *arguments: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(self._quick, function, *arguments)

        return await imagery.stream_archive(self._supply.archive, request, off_loop)

    async def _readiness(self, request: Request) -> Response:
        """One route is judged at a time: it may take much memory. Bodies arrive beside each other."""
        if self._routes == MOST_ROUTES:
            raise RefusedError(503, f"{MOST_ROUTES} routes are waiting to be judged; try again later")
        self._routes += 1
        try:
            content = await read_body(request, readiness.MOST_ROUTE_BYTES)
            async with self._one_route:
                answer: Response = await asyncio.get_running_loop().run_in_executor(
                    self._heavy, readiness.readiness, self._supply, request, content
                )
            return answer
        finally:
            self._routes -= 1

    def _page(self, _: MapSupply, request: Request) -> Response:
        return self._assets["page.html"].answer(request)

    def _asset(self, _: MapSupply, request: Request) -> Response:
        return asset_at(self._assets, request.path_params["path"]).answer(request)

    def _exposition(self, _: MapSupply, request: Request) -> Response:
        named(request)
        return self._metrics.exposition()


def _health(supply: MapSupply, request: Request) -> Response:
    """Which states are degraded; the page goes on in each of them."""
    named(request)
    degraded = supply.health()
    return json_response(
        {
            "status": "degraded" if degraded else "ok",
            "degraded": [{"state": each.state.value, "what": each.what} for each in degraded],
        }
    )
