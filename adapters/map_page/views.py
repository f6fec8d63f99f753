"""What the page draws beside imagery: coverage, freshness, sectors, layers, and the facts of a tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import Response

from ...domain.errors import StoreUnavailableError
from ...domain.store.freshness_cells import judge_cells
from ...domain.values.catalogue_entries import CatalogueEntry
from ...domain.values.coverage_cells import cells_of, count_by_zoom
from ...domain.values.datasets import Dataset
from ...domain.values.tiles import TileId
from ...domain.values.timestamps import microseconds_of
from ..geojson_shapes import geometry_of
from ..verdict_facts import verdict_facts
from .answers import json_response
from .imagery import entries_at
from .parameters import box_of, finest_of, named, place_of, time_of, window_of, zoom_of
from .readiness import MOST_ROUTE_BYTES
from .supply import MapSupply

MOST_CELLS = 4_096
"""Cells in an answer, however many tiles there are."""
MOST_JUDGED = 50_000
"""Tiles that are judged for an answer."""


def catalog(supply: MapSupply, request: Request) -> Response:
    """The layers, and where each view is."""
    named(request)
    now, fault = supply.now()
    return json_response(
        {
            "layers": [attrs.asdict(layer) for layer in supply.layers()],
            "attributions": supply.all_attributions(),
            "datasets": [_dataset_facts(dataset) for dataset in supply.datasets()],
            "now": now.isoformat(timespec="seconds"),
            "clock_fault": None if fault is None else str(fault),
            "tiles": "/tiles.json",
            "archive": None if supply.archive is None else "/base.pmtiles",
            "coverage": "/coverage",
            "sectors": "/sectors.geojson",
            "record": "/record",
            "ready": "/ready",
            "most_route_bytes": MOST_ROUTE_BYTES,
        }
    )


def _dataset_facts(dataset: Dataset) -> dict[str, Any]:
    captured_at = dataset.captured_at
    return {
        "name": dataset.name,
        "licence": dataset.licence,
        "attribution": dataset.attribution,
        "may_be_stored_offline": dataset.may_be_stored_offline,
        "source": dataset.source,
        "captured_at": None if captured_at is None else captured_at.isoformat(),
        "captured_from": dataset.captured_from,
    }


def coverage(supply: MapSupply, request: Request) -> Response:
    """How many places of each zoom hold a tile."""
    named(request)
    counts = count_by_zoom(supply.places())
    return json_response({"zooms": [{"zoom": zoom, "tiles": tiles} for zoom, tiles in counts.items()]})


def coverage_cells(supply: MapSupply, request: Request) -> Response:
    """Where the tiles of a zoom lie, in few cells."""
    given = named(request, "bbox", "finest")
    zoom = zoom_of(request)
    cells = cells_of(
        supply.places(), zoom, finest=finest_of(given), most=MOST_CELLS, window=window_of(given, zoom)
    )
    counted = zip(cells.x.tolist(), cells.y.tolist(), cells.counts.tolist(), strict=True)
    return json_response(
        {
            "zoom": zoom,
            "cell_zoom": cells.cell_zoom,
            "places_in_a_cell": cells.places_in_a_cell,
            "tiles": int(cells.counts.sum()),
            "cells": list(counted),
        }
    )


def freshness_cells(supply: MapSupply, request: Request) -> Response:
    """How many tiles in each cell are fresh, downgraded and too old, as of now or of another time.

    A box with more tiles than `MOST_JUDGED` is answered with their number and no cell.
    """
    given = named(request, "bbox", "finest", "at")
    zoom, box, asked = zoom_of(request), box_of(given), time_of(given, "at")
    now, fault = supply.now()
    at = now if asked is None else asked
    grid = cells_of(
        supply.places(), zoom, finest=finest_of(given), most=MOST_CELLS, window=window_of(given, zoom)
    )
    tiles = int(grid.counts.sum())
    judged = tiles <= MOST_JUDGED
    cells = (
        judge_cells(supply.tiles, supply.judge, box, zoom, at=at, cell_zoom=grid.cell_zoom) if judged else {}
    )
    return json_response(
        {
            "zoom": zoom,
            "cell_zoom": grid.cell_zoom,
            "at": at.isoformat(),
            "is_now": asked is None,
            "clock_fault": None if fault is None else str(fault),
            "tiles": tiles,
            "judged": judged,
            "most_judged": MOST_JUDGED,
            "cells": [
                [x, y, cell.accepted, cell.downgraded, cell.rejected] for (x, y), cell in cells.items()
            ],
        }
    )


def sectors(supply: MapSupply, request: Request) -> Response:
    """The sectors that tiles are judged by, as GeoJSON, with the age that each allows."""
    named(request)
    features = []
    for grounds in supply.grounds:
        ages = {rule.classification: rule.max_age.total_seconds() for rule in grounds.rules}
        features += [
            {
                "type": "Feature",
                "id": sector.sector_id,
                "properties": {
                    "sector": sector.sector_id,
                    "classification": sector.classification.value,
                    "max_age_seconds": ages.get(sector.classification),
                },
                "geometry": geometry_of(sector.shape),
            }
            for sector in grounds.sectors
        ]
    return json_response({"type": "FeatureCollection", "features": features}, "application/geo+json")


def tile_facts(supply: MapSupply, request: Request) -> Response:
    """What is known of the tiles of one place, the one that is shown first; none is an empty list."""
    given = named(request, "at")
    place, asked = place_of(request), time_of(given, "at")
    now, fault = supply.now()
    at = now if asked is None else asked
    lat, lon = place.centre
    entries = entries_at(supply.tiles, place)
    datasets = _datasets_of(supply, entries)
    return json_response(
        {
            "place": f"{place.zoom_level}/{place.x}/{place.y}",
            "centre": [lat, lon],
            "at": at.isoformat(),
            "clock_fault": None if fault is None else str(fault),
            "datasets_known": datasets is not None,
            "tiles": [_entry_facts(supply, entry, at, datasets or {}) for entry in entries],
        }
    )


def _datasets_of(supply: MapSupply, entries: Sequence[CatalogueEntry]) -> Mapping[TileId, str | None] | None:
    """The dataset of each tile; None while the database that knows them is away."""
    try:
        return supply.tiles.datasets_of([entry.tile_id for entry in entries])
    except StoreUnavailableError:
        return None


def _entry_facts(
    supply: MapSupply, entry: CatalogueEntry, at: datetime, datasets: Mapping[TileId, str | None]
) -> dict[str, Any]:
    tile_id = entry.tile_id
    lat, lon = tile_id.centre
    verdict = supply.judge(tile_id, microseconds_of(entry.captured_at), at)
    by_base = " --base" if supply.explained_by_base else ""
    captured_at = entry.captured_at.isoformat()
    return {
        "tile": str(tile_id),
        "content_sha256": entry.content_sha256,
        "dataset": datasets.get(tile_id),
        "bytes": entry.disk_bytes,
        "captured_at": captured_at,
        "label_at_write": entry.freshness_label.value,
        "voting_status": None if entry.voting_status is None else entry.voting_status.value,
        "pinned": entry.pinned,
        "verdict": verdict_facts(verdict),
        "command": f"aerotile explain {lat} {lon} {captured_at} --zoom {tile_id.zoom_level}{by_base}",
    }
