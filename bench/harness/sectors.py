"""Sectors over a theatre of 10 x 15 degrees, and tiles in it; the same in every run."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import attrs
import psycopg
from psycopg.types.json import Jsonb

from aerotile import Bbox, Polygon, SectorBoundary, SectorClassification, TileId, TileSource
from aerotile.adapters.geojson_shapes import geometry_of

SOUTH, WEST, HEIGHT, WIDTH = 45.0, 25.0, 10.0, 15.0
ZOOM = 18
NOW = datetime(2030, 6, 1, 12, 0, tzinfo=timezone.utc)
_OLDEST = timedelta(days=400)
_COVERAGE = 2.5
"""Sectors over a place, on average, whatever their number."""


def sectors(count: int) -> list[SectorBoundary]:
    """So many boxes that overlap; one in five is an active conflict."""
    noise = random.Random(6)
    side = math.sqrt(_COVERAGE * HEIGHT * WIDTH / count)
    made = []
    for number in range(count):
        height, width = side * noise.uniform(0.4, 1.6), side * noise.uniform(0.4, 1.6)
        south, west = SOUTH + noise.random() * (HEIGHT - height), WEST + noise.random() * (WIDTH - width)
        kind = SectorClassification.ACTIVE_CONFLICT if number % 5 == 0 else SectorClassification.STABLE_REAR
        made.append(SectorBoundary(f"sector-{number}", kind, Bbox(south, west, south + height, west + width)))
    return made


def polygons(count: int) -> list[SectorBoundary]:
    """So many polygons of 5 to 500 points over the same theatre, ragged as coasts are."""
    noise = random.Random(8)
    reach = math.sqrt(_COVERAGE * HEIGHT * WIDTH / count / math.pi)
    made = []
    for number in range(count):
        points, size = noise.randint(5, 500), reach * noise.uniform(0.4, 1.6)
        lat = SOUTH + size + noise.random() * (HEIGHT - 2 * size)
        lon = WEST + size + noise.random() * (WIDTH - 2 * size)
        ring = []
        for point in range(points):
            distance, angle = size * noise.uniform(0.8, 1.0), math.tau * point / points
            ring.append((lon + distance * math.cos(angle), lat + distance * math.sin(angle)))
        kind = SectorClassification.ACTIVE_CONFLICT if number % 5 == 0 else SectorClassification.STABLE_REAR
        made.append(SectorBoundary(f"sector-{number}", kind, Polygon([ring])))
    return made


@attrs.frozen
class Question:
    """A tile and how old it is."""

    tile_id: TileId
    captured_at: datetime


def questions(count: int, zooms: Sequence[int] = (ZOOM,)) -> list[Question]:
    """Tiles all over the theatre, from today to older than every rule allows."""
    noise = random.Random(7)
    return [
        Question(
            TileId.covering(
                SOUTH + noise.random() * HEIGHT,
                WEST + noise.random() * WIDTH,
                zooms[number % len(zooms)],
                TileSource.SATELLITE_PROVIDER,
            ),
            NOW - _OLDEST * noise.random(),
        )
        for number in range(count)
    ]


def load_sectors(dsn: str, boundaries: list[SectorBoundary]) -> None:
    """Put sectors into the database that a store is opened over."""
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        statement = "COPY sector_classifications FROM STDIN"
        with cursor.copy(statement) as copy:
            for sector in boundaries:
                copy.write_row(_row(sector))


def _row(sector: SectorBoundary) -> tuple[Any, ...]:
    return sector.sector_id, sector.classification.value, Jsonb(geometry_of(sector.shape))
