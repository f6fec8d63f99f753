"""Files beside a folder's tiles that say where all of them lie: `tilemapresource.xml` and `metadata.json`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from ...domain.values.number_texts import read_decimal
from ...domain.values.tile_grid import MAX_LATITUDE, Bbox, north_west_corner
from ..strict_json import parse_json
from .errors import InputFileError
from .tile_scheme import FolderNote, TileScheme

NOTE_FILES = ("tilemapresource.xml", "metadata.json")
_MAX_BYTES = 1 << 20
_MERCATOR_REFERENCES = frozenset({"EPSG:900913", "EPSG:3857", "EPSG:3785", "OSGEO:41001"})
_HALF_WORLD_M = 20_037_508.342789244


def read_folder_notes(folder: Path) -> list[FolderNote]:
    """What the files beside the tiles say. Raises `InputFileError` for one that can't be read."""
    readers: tuple[Callable[[str, bytes], FolderNote], ...] = (_read_tile_map, _read_metadata)
    notes = []
    for name, reader in zip(NOTE_FILES, readers, strict=True):
        path = folder / name
        try:
            if not path.is_file():
                continue
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
            if len(content) > _MAX_BYTES:
                raise ValueError(f"it is larger than {_MAX_BYTES} bytes")
            notes.append(reader(str(path), content))
        except (OSError, ValueError, OverflowError, RecursionError) as error:
            raise InputFileError(
                f"{path} can't be read: {error}",
                remedy="mend or remove the file; it says where the tiles lie",
            ) from error
    return notes


def _read_tile_map(file: str, content: bytes) -> FolderNote:
    """The OSGeo Tile Map Service specification counts rows from the south."""
    if b"<!ENTITY" in content:
        raise ValueError("it declares entities")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError) as error:  # unknown encoding
        raise ValueError(f"it is no XML: {error}") from error
    if root.tag != "TileMap":
        raise ValueError(f"it is no TileMap but {root.tag!r}")
    reference = (root.findtext("SRS") or "").strip()
    tile_sets = root.find("TileSets")
    profile = "" if tile_sets is None else tile_sets.get("profile", "")
    if not (reference.upper() in _MERCATOR_REFERENCES or profile.endswith("mercator")):
        raise ValueError(f"its tiles are no Web Mercator (SRS {reference!r}, profile {profile!r})")
    box = root.find("BoundingBox")
    if box is None:
        return FolderNote(file, TileScheme.TMS)
    edges = [_number(box.get(name, "")) for name in ("minx", "miny", "maxx", "maxy")]
    return FolderNote(file, TileScheme.TMS, _readings(*edges))


def _readings(min_x: float, min_y: float, max_x: float, max_y: float) -> tuple[tuple[Bbox, ...], ...]:
    """Metres of the projection, degrees, and degrees with latitude first, as older writers have them."""
    readings = []
    if max(abs(min_x), abs(min_y), abs(max_x), abs(max_y)) > 180.0:

        def degrees(x: float, y: float) -> tuple[float, float]:
            return north_west_corner((x / _HALF_WORLD_M + 1) / 2, (1 - y / _HALF_WORLD_M) / 2, 0)

        south, west = degrees(min_x, min_y)
        north, east = degrees(max_x, max_y)
        candidates = [(south, max(-180.0, west), north, min(180.0, east))]
    else:
        candidates = [(min_y, min_x, max_y, max_x), (min_x, min_y, max_x, max_y)]
    for candidate in candidates:
        with suppress(ValueError):
            readings.append((Bbox(*candidate),))
    if not readings:
        raise ValueError("its BoundingBox is impossible")
    return tuple(readings)


def _read_metadata(file: str, content: bytes) -> FolderNote:
    """The metadata of MBTiles and TileJSON, as tools put it beside a folder of tiles."""
    facts = parse_json(content.decode("utf-8-sig"))
    if not isinstance(facts, dict):
        raise ValueError("it is no JSON object")
    scheme = facts.get("scheme")
    if scheme not in (None, "xyz", "tms"):
        raise ValueError(f"its scheme is {scheme!r}, not xyz or tms")
    bounds = facts.get("bounds")
    if bounds is None:
        return FolderNote(file, scheme and TileScheme(scheme))
    edges = bounds.split(",") if isinstance(bounds, str) else bounds
    if not isinstance(edges, list) or len(edges) != 4:
        raise ValueError(f"its bounds are {bounds!r}, not west, south, east, north")
    west, south, east, north = (_number(edge) for edge in edges)
    south, north = max(south, -MAX_LATITUDE), min(north, MAX_LATITUDE)
    if west > east:  # across the antimeridian
        return FolderNote(
            file,
            scheme and TileScheme(scheme),
            ((Bbox(south, west, north, 180.0), Bbox(south, -180.0, north, east)),),
        )
    return FolderNote(file, scheme and TileScheme(scheme), ((Bbox(south, west, north, east),),))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{value!r} is no number of degrees")
    try:
        return read_decimal(value.strip()) if isinstance(value, str) else float(value)
    except ValueError:
        raise ValueError(f"{value!r} is no number") from None
