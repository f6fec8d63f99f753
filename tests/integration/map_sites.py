"""A map page over a sealed base with pictures, sectors and the record of a short flight."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import attrs
from PIL import Image
from sealed_bases import source_of

from aerotile.adapters.composition.serving_parts import ServingRuntime
from aerotile.adapters.config.sections import DatabaseConfig
from aerotile.adapters.config.base_section import BaseConfig
from aerotile.adapters.config.settings import AerotileConfig
from aerotile.adapters.map_page.application import MapPage
from aerotile.adapters.map_page.guard import KnownHosts
from aerotile.adapters.map_page.supply import MapSupply
from aerotile.adapters.recorder.line_format import encode_line
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.adapters.sealed_base.signatures import Trust
from aerotile.adapters.web_server import WebServer
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.flight_events import (
    EventKind,
    FlightEvent,
    RecordEnvelope,
    WriteStep,
    eviction_batch_event,
    lookup_unknown_event,
    write_event,
    write_failed_event,
)
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Polygon
from aerotile.domain.values.tile_grid import ground_sample_distance, tile_bbox
from aerotile.domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

Tile = tuple[TileMetadataPersistent, bytes]
ZOOM, WIDTH = 10, 6
WEST, NORTH = 545, 355
"""A square of tiles around Munich, and the same ground at the zoom before."""
FIRST = tile_bbox(WEST, NORTH, ZOOM)
LAST = tile_bbox(WEST + WIDTH - 1, NORTH + WIDTH - 1, ZOOM)
TAKEOFF = datetime(2026, 5, 1, 6, 0, tzinfo=timezone.utc)
CAPTURED_AT = datetime(2026, 4, 1, tzinfo=timezone.utc)
FRONT_MAX_DAYS = 180
SECTORS = (
    SectorBoundary(
        "front",
        SectorClassification.ACTIVE_CONFLICT,
        Polygon(
            [
                [
                    (FIRST.min_lon, FIRST.max_lat),
                    (LAST.max_lon, FIRST.max_lat),
                    (FIRST.min_lon, LAST.min_lat),
                ]
            ]
        ),
    ),
)


def picture(zoom: int, x: int, y: int) -> bytes:
    """A field and a river, in colours that follow from the place."""
    shade = (x * 37 + y * 61 + zoom * 11) % 40
    image = Image.new("RGB", (256, 256), (92 + shade, 120 + shade // 2, 70))
    for i in range(256):
        image.paste((60, 92, 118), (i, (i * 3 + x * 53) % 256, i + 1, (i * 3 + x * 53) % 256 + 9))
    image.paste((150, 140, 110), (0, 120 + shade, 256, 124 + shade))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def tile(zoom: int, x: int, y: int, captured_at: datetime = CAPTURED_AT) -> Tile:
    pixels = picture(zoom, x, y)
    tile_id = TileId(zoom, x, y, TileSource.IMPORTED)
    metadata = TileMetadata(
        tile_id=tile_id,
        captured_at=captured_at,
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=ground_sample_distance(tile_id.centre[0], zoom),
    )
    return TileMetadataPersistent.of(metadata, created_at=CAPTURED_AT), pixels


TILES = [
    tile(zoom, x, y)
    for zoom, width in ((ZOOM - 1, WIDTH // 2 + 1), (ZOOM, WIDTH))
    for x in range(WEST >> (ZOOM - zoom), (WEST >> (ZOOM - zoom)) + width)
    for y in range(NORTH >> (ZOOM - zoom), (NORTH >> (ZOOM - zoom)) + width)
]
ON_GRID = [row for row, _ in TILES if row.tile_id.zoom_level == ZOOM]


def flight_events() -> list[FlightEvent]:
    """A tile is stored, the database goes and comes back, a lookup finds nothing, tiles are evicted."""
    first, second, third = (row for row in ON_GRID[:3])
    gone = StoreUnavailableError("the database does not answer", remedy="start it")
    newer = FlightEvent.__new__(FlightEvent)  # of a kind that this program does not know
    object.__setattr__(newer, "kind", EventKind.WRITE)
    return [
        write_event(first),
        write_failed_event(second.tile_id, WriteStep.INSERT, gone),
        lookup_unknown_event([third.tile_id]),
        write_event(second),
        eviction_batch_event([first.tile_id], 8_192),
    ]
