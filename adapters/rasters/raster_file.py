"""A GeoTIFF that was opened and checked: where it lies, how fine it is, what its bands mean."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from ...domain.errors import ImagerySourceError
from ...domain.values.number_texts import read_decimal
from ...domain.values.tile_grid import EARTH_CIRCUMFERENCE_M, MAX_ZOOM
from .band_plan import BandPlan, UnknownColoursError, plan_bands
from .beside import OFFLINE, check_names_no_file, check_sidecars
from .errors import GDAL_ERRORS, reason_of, refused
from .projected import projected
from .value_scale import ValueScale, scale_of_sample

WEB_MERCATOR, WGS84 = CRS.from_epsg(3857), CRS.from_epsg(4326)
CACHE_MB = 256
"""Blocks of files that GDAL holds in memory, for all threads together."""
_DRIVER = "GTiff"  # no other format of GDAL can name a further file or address that would be read
_ROUNDING = 1.01
"""A pixel of a tile may be this much smaller than the raster's own: reprojected sizes are rounded."""
_UNKNOWN_DATUM = re.compile(r'DATUM\["(?:unknown|not[ _]specified|user[- _]defined)', re.IGNORECASE)
_LINKED_DATUM = re.compile(r"TOWGS84\[|BOUNDCRS\[|nadgrids", re.IGNORECASE)
_MOST_DEGREES, _MOST_UNITS = 1_080.0, 1e9
_SAMPLE_SIDE, _SAMPLE_WINDOWS = 64, 12
_CHECKED_BLOCKS = 65_536
_ACQUIRED, _EXIF_TIME = "ACQUISITIONDATETIME", "EXIF_DateTimeOriginal"
TIFF_TIME = "TIFFTAG_DATETIME"
"""The TIFF's own time: by the standard that of the image's creation, in practice often that of an export."""


@attrs.frozen(kw_only=True, eq=False)
class RasterFile:
    """What is known of a raster without its pixels, a sample for the value scale apart."""

    path: Path
    crs: CRS
    transform: Any
    """Pixel to projected coordinates."""
    width: int
    height: int
    plan: BandPlan
    scale: ValueScale | None
    """None where values are bytes already."""
    palette: npt.NDArray[np.uint8] | None
    """256 colours of red, green and blue."""
    nodata: float | None
    overviews: tuple[int, ...]
    """How many pixels of the raster a pixel of each overview covers, ascending."""
    metres_per_pixel: float
    """In Web Mercator's metres."""
    captured_at: datetime | None
    """As the file's own tags say."""
    captured_at_tag: str | None
    """The tag that says so."""
    further_images: int
    """Images in the file beside the first, which are not read."""
    turns: tuple[float, ...]
    """By how much the raster is moved to be found on the globe: 0, and a turn where it crosses the edge."""

    def max_zoom(self, tile_size: int) -> int:
        """The finest zoom whose pixels are no finer than the raster's."""
        widest = EARTH_CIRCUMFERENCE_M / tile_size * _ROUNDING
        return min(MAX_ZOOM, max(0, math.floor(math.log2(widest / self.metres_per_pixel))))

    def overview_for(self, metres_per_pixel: float) -> int | None:
        """The coarsest overview that is still as fine as asked; None for the raster itself."""
        fitting = [
            level
            for level, factor in enumerate(self.overviews)
            if factor * self.metres_per_pixel <= metres_per_pixel * _ROUNDING
        ]
        return fitting[-1] if fitting else None

    def described(self, enlarged: float | None = None) -> str:
        """What a tile is made of, for the report; `enlarged`: how many times each pixel."""
        what = "GeoTIFF" if enlarged is None else f"GeoTIFF enlarged {enlarged:.1f} times"
        notes = [self.plan.note] if self.plan.note else []
        return "; ".join([what, *notes, *([str(self.scale)] if self.scale else [])])


def open_dataset(path: Path, overview: int | None = None) -> Any:
    """A dataset of rasterio: the raster, or one of its overviews. For one thread."""
    try:
        os.fspath(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise refused(path, "has a name that is not UTF-8", "rename the file or its folder") from error
    options = {} if overview is None else {"overview_level": overview}
    # An absolute path is never an address, nor a name of GDAL's own such as `GTIFF_DIR:2:a.tif`.
    return rasterio.open(path.absolute(), driver=_DRIVER, **options)


def files_beside(path: Path) -> tuple[Path, ...]:
    """Files that GDAL reads with a raster: overviews, a mask, metadata. Raises `ImagerySourceError`."""
    try:
        with open_dataset(path) as dataset:
            return tuple(sorted(set(map(Path, dataset.files)) - {path.absolute()}))
    except GDAL_ERRORS as error:
        raise refused(path, f"can't be read as a GeoTIFF: {reason_of(error)}", "copy it again") from error


def open_raster(path: Path) -> RasterFile:
    """Open a raster and check that it can be placed. Raises `ImagerySourceError`, one line each."""
    check_sidecars(path)
    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB, **OFFLINE), warnings.catch_warnings():
            # A raster that lies nowhere is refused in one line, with no warning of the library before it.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with open_dataset(path) as dataset:
                check_names_no_file(path, dataset)
                return _checked(path, dataset)
    except GDAL_ERRORS as error:
        raise refused(
            path,
            f"can't be read as a GeoTIFF: {reason_of(error)}",
            "check it with gdalinfo, or copy it again",
        ) from error


def _checked(path: Path, dataset: Any) -> RasterFile:
    _check_placed(path, dataset)
    _check_bounds(path, dataset)
    _check_whole(path, dataset)
    dtype = np.dtype(dataset.dtypes[0])
    if dtype.kind == "c":
        raise refused(path, f"has complex values ({dtype})", "convert it to brightness first")
    try:
        plan = plan_bands([one.name for one in dataset.colorinterp], dataset.descriptions)
    except UnknownColoursError as error:
        raise refused(
            path,
            f"has {dataset.count} bands, and nothing says which are red, green and blue",
            "choose them with gdal_translate -b R -b G -b B -colorinterp red,green,blue",
        ) from error
    if plan.is_palette and dtype != np.uint8:
        raise refused(
            path,
            f"has a palette of more than 256 colours ({dtype})",
            "write its colours into bands first: gdal_translate -expand rgb",
        )
    nodata = dataset.nodata
    if nodata is None and dtype.kind == "f":
        nodata = math.nan
    captured_at, tag = captured_at_of(dataset)
    return RasterFile(
        path=path,
        crs=dataset.crs,
        transform=dataset.transform,
        width=dataset.width,
        height=dataset.height,
        plan=plan,
        scale=None if dtype == np.uint8 else _scale(path, dataset, plan),
        palette=_palette(dataset) if plan.is_palette else None,
        nodata=nodata,
        overviews=tuple(dataset.overviews(plan.bands[0])),
        metres_per_pixel=_metres_per_pixel(path, dataset),
        captured_at=captured_at,
        captured_at_tag=tag,
        further_images=max(0, len(dataset.subdatasets) - 1),
        turns=_turns(dataset),
    )


def _check_placed(path: Path, dataset: Any) -> None:
    if dataset.crs is None:
        points, _ = dataset.gcps
        held = "has control points" if points else "has rational polynomials" if dataset.rpcs else "has none"
        raise refused(
            path,
            f"has no projection ({held} in its place)" if held != "has none" else "has no projection",
            "place it first: gdalwarp -t_srs EPSG:3857"
            if held != "has none"
            else "name the projection that it was made in: gdal_edit.py -a_srs EPSG:CODE",
        )
    if dataset.transform.is_identity:
        raise refused(path, "has a projection but no place in it", "place it first: gdal_translate -a_ullr")
    wkt = dataset.crs.to_wkt()
    if not (dataset.crs.is_geographic or dataset.crs.is_projected):
        raise refused(
            path, "has a local projection, which lies nowhere on the globe", "place it first: gdalwarp"
        )
    if _UNKNOWN_DATUM.search(wkt) and not _LINKED_DATUM.search(wkt):
        raise refused(
            path,
            "has a projection without a datum: its place is off by up to hundreds of metres",
            "name the projection that it was made in: gdal_edit.py -a_srs EPSG:CODE",
        )


def _check_bounds(path: Path, dataset: Any) -> None:
    """PROJ takes coordinates far off the globe back to it turn by turn, without an end in sight."""
    place, limit = dataset.transform, _MOST_DEGREES if dataset.crs.is_geographic else _MOST_UNITS
    for column, row in ((0, 0), (dataset.width, 0), (0, dataset.height), (dataset.width, dataset.height)):
        across = place.a * column + place.b * row + place.c
        along = place.d * column + place.e * row + place.f
        if not (abs(across) <= limit and abs(along) <= limit):
            raise _off_the_grid(path)


def _off_the_grid(path: Path) -> ImagerySourceError:
    return refused(
        path,
        "lies where its projection has no place on the grid",
        "check its projection and bounds with gdalinfo",
    )


def _check_whole(path: Path, dataset: Any) -> None:
    """Compare where the blocks lie with the length of the file; a copy that broke off lacks the last ones."""
    length = path.stat().st_size
    block_height, block_width = dataset.block_shapes[0]
    rows, columns = -(-dataset.height // block_height), -(-dataset.width // block_width)
    step = max(1, rows * columns // _CHECKED_BLOCKS)
    for number in range(0, rows * columns, step):
        y, x = divmod(number, columns)
        offset, size = (
            dataset.get_tag_item(f"BLOCK_{what}_{x}_{y}", "TIFF", bidx=1) for what in ("OFFSET", "SIZE")
        )
        if offset is not None and size is not None and int(offset) + int(size) > length:
            raise refused(
                path,
                f"is cut short: it has {length} bytes, its pixels go on to byte {int(offset) + int(size)}",
                "copy it again",
            )


def _metres_per_pixel(path: Path, dataset: Any) -> float:
    """The mean length in Web Mercator of the two sides of the pixel in the middle."""
    place = dataset.transform
    columns = [dataset.width / 2 + step for step in (0, 1, 0)]
    rows = [dataset.height / 2 + step for step in (0, 0, 1)]
    across = [place.a * column + place.b * row + place.c for column, row in zip(columns, rows, strict=True)]
    along = [place.d * column + place.e * row + place.f for column, row in zip(columns, rows, strict=True)]
    x, y = projected(dataset.crs, WEB_MERCATOR, across, along)
    if not all(map(math.isfinite, (*x, *y))):
        raise _off_the_grid(path)
    half = EARTH_CIRCUMFERENCE_M / 2
    sides = [
        math.hypot((x[end] - x[0] + half) % EARTH_CIRCUMFERENCE_M - half, y[end] - y[0]) for end in (1, 2)
    ]
    if not all(side > 0 for side in sides):
        raise _off_the_grid(path)
    return math.sqrt((sides[0] ** 2 + sides[1] ** 2) / 2)


def _turns(dataset: Any) -> tuple[float, ...]:
    """Where the first coordinate goes on across the antimeridian, GDAL finds no place beyond its edge."""
    turn = turn_of(dataset.crs)
    bounds = dataset.bounds
    if turn is None:
        return (0.0,)
    return tuple(
        count * turn
        for count in (0, 1, -1)
        if min(bounds.left, bounds.right) + count * turn < turn / 2
        and max(bounds.left, bounds.right) + count * turn > -turn / 2
    )


def turn_of(crs: CRS) -> float | None:
    """What a turn around the globe adds to the first coordinate; None where it adds nothing."""
    if crs.is_geographic:
        return float(round(2 * math.pi / crs.units_factor[1], 9))
    return EARTH_CIRCUMFERENCE_M if crs == WEB_MERCATOR else None


def _scale(path: Path, dataset: Any, plan: BandPlan) -> ValueScale:
    """The minimum and maximum that the file states for all its bands, or percentiles of a sample."""
    stated = [dataset.tags(band) for band in plan.bands]
    try:
        low = min(read_decimal(tags["STATISTICS_MINIMUM"]) for tags in stated)
        high = max(read_decimal(tags["STATISTICS_MAXIMUM"]) for tags in stated)
    except (KeyError, ValueError):
        low = high = math.nan
    if low < high and math.isfinite(high - low):
        return ValueScale(low, high, "the file's own statistics")
    try:
        return scale_of_sample(np.concatenate(list(_sample(dataset, plan))))
    except ValueError as error:
        raise refused(
            path, f"can't be scaled to 8 bits: {error}", "check its values with gdalinfo -stats"
        ) from error


def _sample(dataset: Any, plan: BandPlan) -> Iterator[npt.NDArray[Any]]:
    """Valid values of small windows that are spread evenly over the raster."""
    for row in _starts(dataset.height):
        for column in _starts(dataset.width):
            window = Window(column, row, _SAMPLE_SIDE, _SAMPLE_SIDE)
            yield dataset.read(list(plan.bands), window=window, masked=True).compressed()


def _starts(length: int) -> list[int]:
    last = max(0, length - _SAMPLE_SIDE)
    return sorted({round(last * step / (_SAMPLE_WINDOWS - 1)) for step in range(_SAMPLE_WINDOWS)})


def _palette(dataset: Any) -> npt.NDArray[np.uint8]:
    colours = np.zeros((256, 3), np.uint8)
    for value, colour in dataset.colormap(1).items():
        colours[value] = colour[:3]
    return colours


def captured_at_of(dataset: Any) -> tuple[datetime | None, str | None]:
    """The acquisition time of the file's tags, or else the TIFF's own time, and the tag; it counts as UTC."""
    tags = dataset.tags()
    for tag, text, form in (
        (_ACQUIRED, dataset.tags(ns="IMAGERY").get(_ACQUIRED, tags.get(_ACQUIRED)), "%Y-%m-%d %H:%M:%S"),
        (_EXIF_TIME, dataset.tags(ns="EXIF").get(_EXIF_TIME, tags.get(_EXIF_TIME)), "%Y:%m:%d %H:%M:%S"),
        (TIFF_TIME, tags.get(TIFF_TIME), "%Y:%m:%d %H:%M:%S"),
    ):
        try:
            if text is not None:
                return datetime.strptime(text.strip(), form).replace(tzinfo=timezone.utc), tag
        except ValueError:
            continue
    return None, None
