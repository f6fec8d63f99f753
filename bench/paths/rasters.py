"""P-20: a projected GeoTIFF cut into tiles of its finest zoom and three zooms of parents, on one core.

The raster is made here: as an orthophoto comes, in UTM, with JPEG blocks and without overviews. `processor_s`
is the processor's seconds of a subject, programs that it starts included: other load moves the time more.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.warp
import simplejpeg
from affine import Affine
from harness.operations import Calls, Operation, Unavailable
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import Workshop
from rasterio.enums import Resampling
from rasterio.windows import Window

from aerotile.adapters.rasters.raster_source import RasterSource
from aerotile.adapters.simplejpeg.pictures import TilePictureCodec
from aerotile.domain.intake.mosaic import Mosaic
from aerotile.domain.values.tile_grid import EARTH_CIRCUMFERENCE_M

_FINEST, _COARSEST = 13, 10
_METRES_A_PIXEL = 12.6
"""On the ground; at 48 degrees north just what a pixel of zoom 13 covers."""
_PLACE = Affine(_METRES_A_PIXEL, 0.0, 680_000.0, 0.0, -_METRES_A_PIXEL, 5_330_000.0)
_CRS = "EPSG:32632"
_TILE, _BLOCK, _ROWS, _CELL = 256, 1024, 1024, 16
_QUALITY = 90
_ONCE = Effort(blocks=1, rounds=1)
"""Of peers that take ten times as long; their processor seconds stand beside."""

Picture = npt.NDArray[np.uint8]


def write_raster(path: Path, side: int) -> None:
    """The raster; a smooth texture, so that a JPEG of it is as large as that of a field."""
    chance = np.random.default_rng(20)
    facts = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8"}
    layout = {"tiled": True, "compress": "jpeg", "photometric": "ycbcr", "BIGTIFF": "IF_SAFER"}
    with rasterio.open(path, "w", crs=_CRS, transform=_PLACE, **facts, **layout) as file:
        for first in range(0, side, _ROWS):
            rows = min(_ROWS, side - first)
            cells = chance.integers(40, 200, (3, -(-rows // _CELL), -(-side // _CELL)))
            colours = cells.repeat(_CELL, axis=1).repeat(_CELL, axis=2)[:, :rows, :side]
            colours = colours + chance.integers(-8, 8, (1, rows, side))
            file.write(colours.astype(np.uint8), window=Window(0, first, side, rows))


@contextmanager
def _raster(workshop: Workshop) -> Iterator[Path]:
    side = workshop.sizes.raster_pixels
    path = workshop.path(f"ortho-{side}.tif")
    write_raster(path, side)
    yield path


@contextmanager
def _ours(workshop: Workshop) -> Iterator[Operation]:
    path = workshop.shared(_raster)
    made = 0

    def call() -> None:
        nonlocal made
        made = 0
        with RasterSource(path, tile_size=_TILE, threads=1) as source:
            zooms = range(_COARSEST, _FINEST + 1)
            mosaic = Mosaic.of([source], TilePictureCodec(_TILE), zooms=zooms)
            for block in mosaic.blocks():
                made += sum(read.tile is not None for read in mosaic.read(block))

    yield _clocked(Calls(call=call, facts=lambda: {"tiles": made}))


def _clocked(operation: Calls) -> Calls:
    """The operation, with the processor's seconds of its calls beside its facts."""
    taken: list[float] = []

    def call() -> None:
        before = _processor_s()
        operation.call()
        taken.append(_processor_s() - before)

    def facts() -> dict[str, float]:
        return {**operation.facts(), "processor_s": round(statistics.median(taken), 2)}

    return attrs.evolve(operation, call=call, facts=facts)


def _processor_s() -> float:
    """Of this process and of the programs that it started and that ended."""
    spent = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _encoded(tile: Picture, alpha: Picture) -> int:
    """How many tiles came of it: one, or none where no pixel shows ground."""
    if not alpha.any():
        return 0
    simplejpeg.encode_jpeg(np.stack(list(tile), axis=2), _QUALITY, "RGB", "420")
    return 1


def _encode_all(planes: Picture) -> int:
    """Every tile of a picture of whole tiles, its alpha last."""
    return sum(
        _encoded(planes[:-1, y : y + _TILE, x : x + _TILE], planes[-1, y : y + _TILE, x : x + _TILE])
        for y in range(0, planes.shape[1], _TILE)
        for x in range(0, planes.shape[2], _TILE)
    )


def _half(planes: Picture) -> Picture:
    bands, height, width = planes.shape
    sums = planes.reshape(bands, height // 2, 2, width // 2, 2).sum(axis=(2, 4), dtype=np.uint16)
    return (sums >> 2).astype(np.uint8)


@attrs.frozen
class _Grid:
    """Whole tiles of the coarsest zoom around the raster, in pixels of the finest."""

    west: float
    north: float
    columns: int
    rows: int
    metres: float
    touched: Sequence[tuple[int, int]]
    """The corners of the blocks that share ground with the box around the raster."""

    @classmethod
    def around(cls, dataset: rasterio.DatasetReader) -> _Grid:
        left, bottom, right, top = rasterio.warp.transform_bounds(_CRS, "EPSG:3857", *dataset.bounds)
        step = EARTH_CIRCUMFERENCE_M / (1 << _COARSEST)
        half = EARTH_CIRCUMFERENCE_M / 2
        west, north = (left + half) // step * step - half, half - (half - top) // step * step
        side = _TILE << (_FINEST - _COARSEST)
        columns, rows = -int((west - right) // step) * side, -int((bottom - north) // step) * side
        metres = EARTH_CIRCUMFERENCE_M / (_TILE << _FINEST)
        touched = [
            (x, y)
            for y in range(0, rows, _BLOCK)
            for x in range(0, columns, _BLOCK)
            if left < west + (x + _BLOCK) * metres
            and west + x * metres < right
            and bottom < north - y * metres
            and north - (y + _BLOCK) * metres < top
        ]
        return cls(west, north, columns, rows, metres, touched)


@contextmanager
def _floor(workshop: Workshop) -> Iterator[Operation]:
    path = workshop.shared(_raster)
    made = 0

    def call() -> None:
        nonlocal made
        made = 0
        with rasterio.Env(GDAL_CACHEMAX=256), rasterio.open(path) as dataset:
            grid = _Grid.around(dataset)
            parents = np.zeros((4, grid.rows // 2, grid.columns // 2), np.uint8)
            for x, y in grid.touched:
                planes = np.zeros((4, _BLOCK, _BLOCK), np.uint8)
                west, north = grid.west + x * grid.metres, grid.north - y * grid.metres
                rasterio.warp.reproject(
                    rasterio.band(dataset, [1, 2, 3]),
                    planes,
                    dst_crs="EPSG:3857",
                    dst_transform=Affine(grid.metres, 0.0, west, 0.0, -grid.metres, north),
                    dst_alpha=4,
                    resampling=Resampling.bilinear,
                    warp_mem_limit=64,
                    XSCALE=1,
                    YSCALE=1,
                )
                made += _encode_all(planes)
                rows, columns = slice(y // 2, (y + _BLOCK) // 2), slice(x // 2, (x + _BLOCK) // 2)
                parents[:, rows, columns] = _half(planes)
            for zoom in range(_FINEST - 1, _COARSEST - 1, -1):
                made += _encode_all(parents)
                if zoom > _COARSEST:
                    parents = _half(parents)

    yield _clocked(Calls(call=call, facts=lambda: {"tiles": made}))


def _program(command: Sequence[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, capture_output=True)


@contextmanager
def _gdal2tiles(workshop: Workshop) -> Iterator[Operation]:
    program = shutil.which("gdal2tiles.py")
    if program is None:
        raise Unavailable("not installed: gdal2tiles.py (package gdal-bin, python3-gdal)")
    folder = workshop.path("gdal2tiles")
    options = ["-q", "--xyz", "-w", "none", "-r", "bilinear", "-z", f"{_COARSEST}-{_FINEST}"]
    command = [program, *options, "--processes", "1", str(workshop.shared(_raster)), str(folder)]
    yield _clocked(Calls(call=_program(command), afterwards=lambda: shutil.rmtree(folder)))


@contextmanager
def _rio_pmtiles(workshop: Workshop) -> Iterator[Operation]:
    program = shutil.which("rio")
    if program is None:
        raise Unavailable("not installed: rio")
    target = workshop.path("cut.pmtiles")
    options = ["--format", "JPEG", "--co", f"QUALITY={_QUALITY}", "--resampling", "bilinear", "-j", "1"]
    grid = ["--zoom-levels", f"{_COARSEST}..{_FINEST}", "--tile-size", str(_TILE), "--silent"]
    command = [program, "pmtiles", str(workshop.shared(_raster)), str(target), *options, *grid]
    yield _clocked(Calls(call=_program(command), afterwards=target.unlink))


def _rio_tiler(workshop: Workshop) -> AbstractContextManager[Operation]:
    return _by_rio_tiler(workshop, "bilinear")


def _nearest_rio_tiler(workshop: Workshop) -> AbstractContextManager[Operation]:
    return _by_rio_tiler(workshop, "nearest")


@contextmanager
def _by_rio_tiler(workshop: Workshop, warp: Literal["bilinear", "nearest"]) -> Iterator[Operation]:
    from rio_tiler.io import Reader

    path = workshop.shared(_raster)
    with RasterSource(path, tile_size=_TILE, threads=1) as source:
        extents = filter(None, map(source.extent, range(_COARSEST, _FINEST + 1)))
        places = [found.place for extent in extents for found in source.places(extent)]

    def call() -> None:
        with Reader(str(path)) as reader:
            for zoom, x, y in places:
                image = reader.tile(
                    x, y, zoom, tilesize=_TILE, resampling_method="bilinear", reproject_method=warp
                )
                image.render(img_format="JPEG", quality=_QUALITY, add_mask=False)

    yield _clocked(Calls(call=call, facts=lambda: {"tiles": len(places)}))


CUT = MeasuredPath(
    id="P-20",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_ours, note="one thread"),
        Subject(
            name="bare warp and encode",
            role=Role.FLOOR,
            open=_floor,
            note="rasterio's reproject by 4 x 4 tiles, kernel unscaled, numpy's means, simplejpeg",
        ),
        Subject(
            name="gdal2tiles",
            role=Role.PEER,
            open=_gdal2tiles,
            note="one process, whose start counts; writes PNG into a folder",
            at_most=_ONCE,
        ),
        Subject(
            name="rio-tiler",
            role=Role.PEER,
            open=_rio_tiler,
            needs=("rio_tiler",),
            note="tile by tile, bilinear, JPEG, parents from the raster",
            at_most=_ONCE,
        ),
        Subject(
            name="rio-tiler, nearest pixel",
            role=Role.PEER,
            open=_nearest_rio_tiler,
            needs=("rio_tiler",),
            note="the same by the nearest pixel, its default, which shifts edges by up to half a pixel",
            at_most=_ONCE,
        ),
        Subject(
            name="rio-pmtiles",
            role=Role.PEER,
            open=_rio_pmtiles,
            needs=("rio_pmtiles",),
            note="one job, whose start counts; writes an archive of JPEG",
            at_most=_ONCE,
        ),
    ),
    full=Effort(blocks=3, rounds=1),
    quick=Effort(blocks=3, rounds=1),
    warm_up=False,
)
