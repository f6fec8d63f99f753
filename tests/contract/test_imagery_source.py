"""Every `ImagerySource` of local archives fulfils its contract."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from affine import Affine
from archives import Place, picture, write_folder, write_mbtiles, write_pmtiles
from rasters import slopes, write_raster
from tile_server import Behaviour, TileServer

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.composition.imagery_parts import create_tile_archive, open_imagery_source
from aerotile.adapters.contracts.imagery_source import ImagerySourceContract, ImagerySourceSubject
from aerotile.adapters.imagery.picture_places import tiles_at
from aerotile.adapters.memory.imagery_source import MemoryImagerySource
from aerotile.adapters.rasters.raster_source import RasterSource
from aerotile.adapters.tile_services.address import TileAddress
from aerotile.adapters.tile_services.service_source import ServiceTerms, TileServiceSource
from aerotile.domain.policies.tile_fetching import FetchLimits
from aerotile.domain.ports.imagery_source import ImageryTile, ReadPlace, TilePlace
from aerotile.domain.ports.tile_archive import ArchiveFacts
from aerotile.domain.values.tile_grid import EARTH_CIRCUMFERENCE_M, Bbox, GridRange

TILES: dict[Place, bytes] = {
    (zoom, x, y): picture(16 * x + y)
    for zoom, columns, rows in (
        (0, (0,), (0,)),
        (6, range(3), range(61, 64)),
        (12, (0, 4_000, 4_095), (7, 9)),
    )
    for x in columns
    for y in rows
}


def write_geopackage(path: Path, tiles: dict[Place, bytes]) -> Path:
    zooms = tuple(sorted({place[0] for place in tiles}))
    with create_tile_archive(path, most_tiles=len(tiles)) as archive:
        for place, content in tiles.items():
            archive.add(TilePlace(*place), content, b"")
        archive.finish(
            ArchiveFacts(name="o", bounds=Bbox(-85, -180, 85, 180), zooms=zooms, tile_size_pixels=256)
        )
    return path


class TestMemoryImagerySource(ImagerySourceContract):
    @pytest.fixture
    def subject(self) -> ImagerySourceSubject:
        tiles = {TilePlace(*place): content for place, content in TILES.items()}
        answers = {place: ImageryTile(place=place, pixels=content) for place, content in tiles.items()}
        return ImagerySourceSubject(MemoryImagerySource(answers), tiles)


class TestRasterSource(ImagerySourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[ImagerySourceSubject]:
        """A raster that fills one tile of zoom 11, and what lies below it at the zooms of its pixels."""
        pixel = EARTH_CIRCUMFERENCE_M / (256 << 13)
        edges = Affine(pixel, 0.0, 1024 * 20 * pixel, 0.0, -pixel, 1024 * 300 * pixel)
        path = write_raster(tmp_path / "o.tif", slopes(1024, 1024), "EPSG:3857", edges)
        corner = TilePlace(11, 1024 + 20, 1024 - 300)
        places = [
            TilePlace(11 + steps, (corner.x << steps) + column, (corner.y << steps) + row)
            for steps in (0, 1, 2)
            for column in range(1 << steps)
            for row in range(1 << steps)
        ]
        with RasterSource(path, tile_size=256, threads=2) as source:
            assert source.zooms() == range(11, 14)
            made = {one.place: one.pixels for one in source.read(places) if isinstance(one, ImageryTile)}
            yield ImagerySourceSubject(source, made, is_verbatim=False)


class TestTileServiceSource(ImagerySourceContract):
    @pytest.fixture
    def subject(self) -> Iterator[ImagerySourceSubject]:
        """A server with bounds, whose pictures are PNG."""
        extents = {6: GridRange(6, 1, 61, 3, 63), 12: GridRange(12, 4094, 7, 4095, 8)}
        places = [TilePlace(zoom, *place) for zoom, extent in extents.items() for place in extent]

        def body(path: str) -> bytes:
            return picture(sum(map(ord, path)), "PNG")

        def made(place: TilePlace, content: bytes, decoded: Collection[TilePlace]) -> ReadPlace:
            return tiles_at("server", [place], content, 256, [None], decoded)[0]

        with TileServer(Behaviour(body=body)) as server:
            tiles = {place: made(place, body(f"/{place}"), ()) for place in places}
            source = TileServiceSource(
                TileAddress(server.address + "/{z}/{x}/{y}"),
                ServiceTerms(
                    clock=SystemClock(),
                    user_agent="aerotile/test",
                    limits=FetchLimits(requests_per_second=1000.0),
                ),
                picture=made,
                extents=extents,
            )
            with source:
                pixels = {place: one.pixels for place, one in tiles.items() if isinstance(one, ImageryTile)}
                yield ImagerySourceSubject(source, pixels, is_verbatim=False)


class TestArchiveSource(ImagerySourceContract):
    @pytest.fixture(
        params=[
            ("o.mbtiles", write_mbtiles, None),
            ("o.pmtiles", write_pmtiles, None),
            ("o.gpkg", write_geopackage, None),
            ("tiles", write_folder, None),
            ("o.mbtiles", lambda path, tiles: write_mbtiles(path, tiles, from_north=True), "xyz"),
            ("o.mbtiles", lambda path, tiles: write_mbtiles(path, tiles, deduplicated=True), None),
        ],
        ids=["mbtiles", "pmtiles", "geopackage", "folder", "mbtiles in xyz order", "map and images"],
    )
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImagerySourceSubject]:
        name, write, scheme = request.param
        path: Any = write(tmp_path / name, TILES)
        with open_imagery_source(str(path), tile_size=256, scheme=scheme) as source:
            yield ImagerySourceSubject(source, {TilePlace(*place): one for place, one in TILES.items()})
