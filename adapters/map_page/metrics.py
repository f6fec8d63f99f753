"""Metrics for Prometheus, in a registry of their own."""

from __future__ import annotations

from collections.abc import Iterator

import prometheus_client
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.responses import Response
from starlette.types import Scope

from ...domain.errors import AerotileError
from .answers import REVALIDATED
from .supply import TOLD_STATES, MapSupply


class PageMetrics(Collector):
    """Requests as they are counted, and layers and health as they are when they are asked for."""

    def __init__(self, supply: MapSupply) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # it has no types upstream
        self._supply = supply
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._requests = prometheus_client.Counter(
            "aerotile_http_requests", "Requests.", ["view", "method", "status"], registry=self._registry
        )
        self._seconds = prometheus_client.Histogram(
            "aerotile_http_request_seconds", "Time to answer.", ["view"], registry=self._registry
        )

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request by its view; what no view answers is one view, so that nobody makes more."""
        view = getattr(scope.get("endpoint"), "__name__", "none")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        self._requests.labels(view, method, str(status)).inc()
        self._seconds.labels(view).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client`: the layers and the health of now."""
        tiles = GaugeMetricFamily("aerotile_tiles", "Tiles of a layer.", labels=["layer"])
        trusted = GaugeMetricFamily("aerotile_base_trusted", "Whether enough pinned keys signed the base.")
        try:
            for layer in self._supply.layers():
                tiles.add_metric([layer.name], layer.tiles)
                if layer.is_trusted is not None:
                    trusted.add_metric([], float(layer.is_trusted))
        except AerotileError:
            pass  # a layer that does not answer has no number; its state is below
        degraded = GaugeMetricFamily("aerotile_degraded", "Whether a state is degraded.", labels=["state"])
        now = {each.state for each in self._supply.health()}
        for state in TOLD_STATES:
            degraded.add_metric([state.value], float(state in now))
        yield from (tiles, trusted, degraded)

    def exposition(self) -> Response:
        """All metrics in Prometheus' text format."""
        headers = {**REVALIDATED, "Content-Type": CONTENT_TYPE_LATEST}
        return Response(generate_latest(self._registry), 200, headers)
