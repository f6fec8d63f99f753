"""Tiles of one GeoTIFF by Aerotile, gdal2tiles, rio-tiler and rio-pmtiles, beside one warp in one piece.

    python bench/raster_seams.py

The reference is `gdalwarp -et 0`: bilinear, every pixel transformed exactly. The table has the mean and
the largest difference in brightness, of the middle of tiles and of two pixels beside each seam: a program
whose tiles don't meet differs more at seams. What JPEG of quality 90 alone changes is in the first line.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import simplejpeg
from affine import Affine
from PIL import Image
from pmtiles.reader import MmapSource, Reader, all_tiles

from aerotile.adapters.rasters.raster_source import RasterSource
from aerotile.domain.ports.imagery_source import ImageryTile, TilePlace
from aerotile.domain.values.tile_grid import EARTH_CIRCUMFERENCE_M

_TILE, _QUALITY = 256, 90
_CRS, _PLACE = "EPSG:32632", Affine(4.0, 0.0, 680_000.0, 0.0, -4.0, 5_330_000.0)
_SEAM = 2
"""Pixels on each side."""

Grey = npt.NDArray[np.int16]
Tiles = dict[TilePlace, Grey]
Program = Callable[[Path, int, list[TilePlace]], Tiles]


def main() -> int:
    """One table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--side", type=int, default=2_048, help="pixels of the raster")
    side = parser.parse_args().side
    with tempfile.TemporaryDirectory(prefix="aerotile-seams-") as folder:
        path = _raster(Path(folder) / "ortho.tif", side)
        with RasterSource(path, tile_size=_TILE) as source:
            zoom = max(source.zooms())
            within = source.extent(zoom)
            assert within is not None
            listed = [found.place for found in source.places(within)]
            whole = [
                one.place
                for one in source.read(listed)
                if isinstance(one, ImageryTile) and one.valid_fraction == 1.0
            ]
        bare = _warped(path, zoom, whole)
        _show("program", "tiles", "middle: mean", "largest", "seams: mean", "largest")
        _compare("the reference as JPEG", {place: _as_jpeg(one) for place, one in bare.items()}, bare)
        for name, program in _PROGRAMS.items():
            _compare(name, program(path, zoom, whole), bare)
    return 0


def _raster(path: Path, side: int) -> Path:
    """Grey waves of 12 to 40 pixels, so that JPEG's coarser colours cost nothing and a shift shows."""
    columns, rows = np.meshgrid(np.arange(side), np.arange(side))
    grey = 120 + 40 * np.sin(columns / 2.0 + rows / 31.0) + 40 * np.cos(rows / 4.0 - columns / 6.5)
    facts = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=_CRS, transform=_PLACE, tiled=True, **facts) as file:
        file.write(np.repeat(grey[np.newaxis], 3, axis=0).astype(np.uint8))
    return path


def _warped(path: Path, zoom: int, places: list[TilePlace]) -> Tiles:
    columns = range(min(place.x for place in places), max(place.x for place in places) + 1)
    rows = range(min(place.y for place in places), max(place.y for place in places) + 1)
    size, half = EARTH_CIRCUMFERENCE_M / (1 << zoom), EARTH_CIRCUMFERENCE_M / 2
    south_west = (-half + columns[0] * size, half - (rows[-1] + 1) * size)
    north_east = (-half + (columns[-1] + 1) * size, half - rows[0] * size)
    target = path.with_name("bare.tif")
    _run(
        *("gdalwarp", "-q", "-t_srs", "EPSG:3857", "-r", "bilinear", "-et", "0", "-ovr", "NONE"),
        *("-te", *map(repr, south_west + north_east)),
        *("-ts", str(_TILE * len(columns)), str(_TILE * len(rows)), str(path), str(target)),
    )
    with rasterio.open(target) as file:
        grey = file.read(1).astype(np.int16)
    corners = {place: ((place.y - rows[0]) * _TILE, (place.x - columns[0]) * _TILE) for place in places}
    return {place: grey[y : y + _TILE, x : x + _TILE] for place, (y, x) in corners.items()}


def _as_jpeg(grey: Grey) -> Grey:
    planes = np.repeat(grey.astype(np.uint8)[..., np.newaxis], 3, axis=2)
    return _decoded(simplejpeg.encode_jpeg(planes, _QUALITY, "RGB", "420"))


def _decoded(content: bytes) -> Grey:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"))[..., 0].astype(np.int16)


def _ours(path: Path, zoom: int, places: list[TilePlace]) -> Tiles:
    with RasterSource(path, tile_size=_TILE) as source:
        read = [one for one in source.read(places) if isinstance(one, ImageryTile)]
        return {one.place: _decoded(one.pixels) for one in read if one.pixels is not None}


def _gdal2tiles(path: Path, zoom: int, places: list[TilePlace]) -> Tiles:
    folder = path.with_name("gdal2tiles")
    options = ("-q", "--xyz", "-w", "none", "-r", "bilinear", "-z", str(zoom))
    _run("gdal2tiles.py", *options, str(path), str(folder))
    return {place: _decoded((folder / f"{zoom}/{place.x}/{place.y}.png").read_bytes()) for place in places}


def _rio_tiler(resampling: str) -> Program:
    def cut(path: Path, zoom: int, places: list[TilePlace]) -> Tiles:
        from rio_tiler.io import Reader as RasterReader

        warnings.simplefilter("ignore")  # that the raster has no overviews
        with RasterReader(str(path)) as reader:
            images = (
                reader.tile(place.x, place.y, zoom, tilesize=_TILE, reproject_method=resampling)
                for place in places
            )
            pictures = [image.render(img_format="JPEG", quality=_QUALITY, add_mask=False) for image in images]
        return dict(zip(places, map(_decoded, pictures), strict=True))

    return cut


def _rio_pmtiles(path: Path, zoom: int, places: list[TilePlace]) -> Tiles:
    target = path.with_name("cut.pmtiles")
    options = ("--format", "JPEG", "--co", f"QUALITY={_QUALITY}", "--resampling", "bilinear", "--silent")
    grid = ("--zoom-levels", f"{zoom}..{zoom}", "--tile-size", str(_TILE))
    rio = Path(sys.executable).with_name("rio")
    _run(str(rio), "pmtiles", str(path), str(target), *options, *grid)
    with target.open("rb") as file:
        found = {
            TilePlace(*place): content for place, content in all_tiles(Reader(MmapSource(file)).get_bytes)
        }
    return {place: _decoded(found[place]) for place in places if place in found}


_PROGRAMS: dict[str, Program] = {
    "Aerotile": _ours,
    "gdal2tiles (PNG)": _gdal2tiles,
    "rio-tiler, bilinear": _rio_tiler("bilinear"),
    "rio-tiler, nearest pixel": _rio_tiler("nearest"),
    "rio-pmtiles, bilinear": _rio_pmtiles,
}


def _compare(name: str, tiles: Tiles, bare: Tiles) -> None:
    """One line: differences within tiles, and along the seams between tiles that are both there."""
    middle, seams = [], []
    for place, grey in tiles.items():
        difference = np.abs(grey - bare[place])
        middle.append(difference[_SEAM:-_SEAM, _SEAM:-_SEAM].ravel())
        seams += [difference[_along(side)].ravel() for side in _shared(place, tiles)]
    inner, edges = np.concatenate(middle), np.concatenate(seams)
    _show(name, len(tiles), f"{inner.mean():.2f}", inner.max(), f"{edges.mean():.2f}", edges.max())


def _shared(place: TilePlace, tiles: Tiles) -> Iterator[tuple[int, int]]:
    """The directions in which a tile has a neighbour."""
    for across, down in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        if TilePlace(place.zoom_level, place.x + across, place.y + down) in tiles:
            yield across, down


def _along(side: tuple[int, int]) -> tuple[slice, slice]:
    return {
        (-1, 0): (slice(None), slice(0, _SEAM)),
        (1, 0): (slice(None), slice(-_SEAM, None)),
        (0, -1): (slice(0, _SEAM), slice(None)),
        (0, 1): (slice(-_SEAM, None), slice(None)),
    }[side]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _show(name: str, *columns: object) -> None:
    sys.stdout.write(f"{name:26}" + "".join(f"{column!s:>14}" for column in columns) + "\n")


if __name__ == "__main__":
    sys.exit(main())
