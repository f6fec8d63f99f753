"""A map page over a sealed base with pictures, sectors and the record of a short flight."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import attrs
import httpx
from PIL import Image
from sealed_bases import Tile, dataset, of_dataset, source_of

from aerotile.adapters.composition.serving_parts import ServingRuntime
from aerotile.adapters.config.base_section import BaseConfig
from aerotile.adapters.config.settings import AerotileConfig
from aerotile.adapters.map_page.application import MapPage
from aerotile.adapters.map_page.guard import KnownHosts
from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.recorder.line_format import encode_line
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.adapters.signatures import Trust
from aerotile.adapters.web_server import WebServer
from aerotile.domain.errors import StoreUnavailableError
from aerotile.domain.flight_events import EventKind, FlightEvent, RecordEnvelope, WriteStep
from aerotile.domain.make_events import eviction_batch_event, fix_event, write_event, write_failed_event
from aerotile.domain.values.areas import Area
from aerotile.domain.values.descriptors import SearchHit
from aerotile.domain.values.lookups import Lookup, PositionFix
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Circle, Polygon
from aerotile.domain.values.tile_grid import ground_sample_distance, tile_bbox
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent, TileSource

ZOOM, WIDTH = 10, 6
WEST, NORTH = 545, 355
"""A square of tiles around Munich, and the same ground at the zoom before."""
FIRST = tile_bbox(WEST, NORTH, ZOOM)
LAST = tile_bbox(WEST + WIDTH - 1, NORTH + WIDTH - 1, ZOOM)
CAPTURED_AT = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(100)
"""Fresh now; in half a year too old for a front (180 days), in a year for any sector (365 days)."""
TAKEOFF = CAPTURED_AT + timedelta(days=10, hours=6)
SECTORS = (
    SectorBoundary(
        "front",
        SectorClassification.ACTIVE_CONFLICT,
        Polygon(
            [[(FIRST.min_lon, FIRST.max_lat), (LAST.max_lon, FIRST.max_lat), (FIRST.min_lon, LAST.min_lat)]]
        ),
    ),
)
"""A triangle: the north-western half of the square."""


ATTRIBUTION = "Imagery: <b>NASA</b>"
"""Marked up, as texts of others may be."""


def picture(zoom: int, x: int, y: int) -> bytes:
    """A JPEG of a colour that follows from the place."""
    stream = io.BytesIO()
    colour = (60 + x * 37 % 120, 90 + y * 61 % 120, 40 + zoom)
    Image.new("RGB", (256, 256), colour).save(stream, "JPEG", quality=80)
    return stream.getvalue()


def tile(zoom: int, x: int, y: int, pixels: bytes, captured_at: datetime = CAPTURED_AT) -> Tile:
    """A tile that an operator brought in."""
    tile_id = TileId(zoom, x, y, TileSource.IMPORTED)
    metadata = example_metadata(
        tile_id,
        pixels,
        captured_at=captured_at,
        ground_sample_distance=ground_sample_distance(tile_id.centre[0], zoom),
    )
    return TileMetadataPersistent.of(metadata, created_at=captured_at), pixels


TILES = [
    tile(zoom, x, y, picture(zoom, x, y))
    for zoom, width in ((ZOOM - 1, WIDTH // 2 + 1), (ZOOM, WIDTH))
    for x in range(WEST >> (ZOOM - zoom), (WEST >> (ZOOM - zoom)) + width)
    for y in range(NORTH >> (ZOOM - zoom), (NORTH >> (ZOOM - zoom)) + width)
]
ROWS = [row for row, _ in TILES if row.tile_id.zoom_level == ZOOM]


def lookup_event(
    sequence: int, candidates: Sequence[TileMetadataPersistent], near: Area | None
) -> tuple[str, FlightEvent]:
    """An index named these candidates; the name of the lookup, and its event."""
    lookup = Lookup(
        run="a",
        sequence=sequence,
        query=None,
        query_sha256="0" * 64,
        k=len(candidates),
        near=near,
        generation="000001",
        index_sha256="1" * 64,
        hits=tuple(SearchHit(row.tile_id, 0.1 * rank) for rank, row in enumerate(candidates)),
        hit_count=len(candidates),
        contents=tuple(row.content_sha256 for row in candidates),
    )
    return lookup.name, FlightEvent(
        EventKind.LOOKUP, "graph" if near is None else "area", lookup.to_payload()
    )


def fix_of(
    row: TileMetadataPersistent, lookup: str, at: datetime, place: tuple[float, float] | None = None
) -> FlightEvent:
    """The flight stack derived its position from a tile, by default at the tile's centre."""
    lat, lon = row.tile_id.centre if place is None else place
    return fix_event(
        PositionFix(tile_id=row.tile_id, lat=lat, lon=lon, fixed_at=at, error_m=12.5, lookup=lookup)
    )


def flight_events() -> list[FlightEvent]:
    """A lookup and its fix, a tile stored, the database gone and back, a tile evicted."""
    gone = StoreUnavailableError("the database does not answer", remedy="start it")
    lat, lon = ROWS[1].tile_id.centre
    name, lookup = lookup_event(1, ROWS[:3], Area([Circle(lat, lon, 20_000)]))
    return [
        lookup,
        fix_of(ROWS[1], name, TAKEOFF),
        write_event(ROWS[4]),
        write_failed_event(ROWS[5].tile_id, WriteStep.INSERT, gone),
        write_event(ROWS[5]),
        eviction_batch_event([ROWS[4].tile_id], 8_192),
    ]


def write_record(folder: Path, events: Sequence[FlightEvent]) -> None:
    """A record of these events, a second apart from `TAKEOFF` on."""
    folder.mkdir()
    lines = [
        encode_line(
            RecordEnvelope.of(
                event, wall_time=TAKEOFF + timedelta(seconds=second), monotonic_ns=second * 1_000_000_000
            )
        )
        for second, event in enumerate(events)
    ]
    (folder / "record-000001.jsonl").write_bytes(b"".join(lines))


@attrs.frozen(kw_only=True)
class MapSite:
    """A root folder with a base in use."""

    root: Path
    config: AerotileConfig


def make_site(
    root: Path,
    tiles: Sequence[Tile] = TILES,
    sectors: Sequence[SectorBoundary] = SECTORS,
    attribution: str = ATTRIBUTION,
) -> MapSite:
    """Seal a base of one dataset below `root` and switch to it, unsigned."""
    config = AerotileConfig(root=root, base=BaseConfig(require_signature=False))
    generations = BaseGenerations(config.base_folder)
    ortho = dataset("ortho", attribution=attribution)
    source = source_of([of_dataset(tile, ortho.name) for tile in tiles], datasets=(ortho,))
    generations.seal(attrs.evolve(source, sectors=tuple(sectors)), SealPlan())
    generations.switch_to(None, Trust((), 1), require_signature=False)
    return MapSite(root=root, config=config)


@contextmanager
def served(site: MapSite, *, names: Sequence[str] = (), attributions: Sequence[str] = ()) -> Iterator[str]:
    """The address of a map page over the base of a site."""
    with (
        ServingRuntime(site.config, base_alone=True, attributions=attributions) as runtime,
        closing(MapPage(runtime.map_supply)) as page,
    ):
        hosts = KnownHosts(names)
        server = WebServer(page.application(hosts), host="127.0.0.1", port=0)
        hosts.bind(server.address)
        server.start()
        with closing(server):
            yield server.url


@contextmanager
def client_of(site: MapSite, **options: Sequence[str]) -> Iterator[httpx.Client]:
    """A client of a map page over the base of a site."""
    with served(site, **options) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield client
