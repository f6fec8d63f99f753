"""Read KML 2.1 and 2.2 with Google's extensions, and KMZ: placemarks with lines, polygons and points.

Names are read in any namespace, because programs write the older ones, or none. Heights are ignored.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

import attrs

from ....domain.values.tile_grid import Point
from ...geojson_shapes import read_polygons
from ...safe_xml import child_text, local_name, parse_xml
from .coordinates import point_of
from .drawing import Drawing, DrawingBuilder, GroundShape

_CONTAINERS = frozenset({"kml", "Document", "Folder"})
_NO_GROUND = {
    "NetworkLink": "network link",
    "GroundOverlay": "ground overlay",
    "ScreenOverlay": "screen overlay",
    "PhotoOverlay": "photo overlay",
    "Tour": "tour",
}
_GEOMETRIES = frozenset(
    {"Point", "LineString", "LinearRing", "Polygon", "MultiGeometry", "Track", "MultiTrack", "Model"}
)


@attrs.frozen
class Placemark:
    """A placemark of KML: its names, its data and its geometry."""

    name: str
    """As a person reads it; empty without one."""
    id: str
    """The attribute `id`; empty without one."""
    data: Mapping[str, str]
    """Its `ExtendedData`, of both kinds."""
    geometry: Drawing
    """Its lines, polygons and places."""


def read_kml(root: Element) -> Drawing:
    """The drawing of a `kml` element. Raises `ValueError`, which names the placemark."""
    found = DrawingBuilder()
    for placemark in read_placemarks(root, found):
        found.routes += placemark.geometry.routes
        found.shapes += placemark.geometry.shapes
        found.places += placemark.geometry.places
        found.left_out.update(placemark.geometry.left_out)
    return found.drawing()


def read_placemarks(root: Element, found: DrawingBuilder) -> Iterator[Placemark]:
    """Every placemark, in the order of the file; counts in `found` what is no placemark."""
    number = 0
    waiting = [root]
    while waiting:
        element = waiting.pop()
        kind = local_name(element)
        if kind == "Placemark":
            number += 1
            name = child_text(element, "name")
            try:
                yield Placemark(name, element.get("id", ""), _data(element), _geometry(element, name))
            except ValueError as error:
                called = f" ({name[:60]!r})" if name else ""
                raise ValueError(f"placemark {number}{called}: {error}") from error
        elif kind in _CONTAINERS:
            waiting += reversed(element)
        elif kind in _NO_GROUND:
            found.left_out[_NO_GROUND[kind]] += 1


def read_kmz(content: bytes, most_bytes: int) -> Element:
    """All KML files of a KMZ below one root. Raises `ValueError`."""
    root = Element("kml")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".kml")]
            for name in names:
                with archive.open(name) as file:
                    text = file.read(most_bytes + 1)
                most_bytes -= len(text)
                if most_bytes < 0:
                    raise ValueError(f"with its {name} it is too large")
                root.append(parse_xml(text))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"it is no KMZ: {error}") from error
    if not names:
        raise ValueError("it is an archive without a KML")
    _drop_links_within(root, names)
    return root


def _drop_links_within(root: Element, names: Sequence[str]) -> None:
    """Take out the network links that lead to another file of the archive, which is read anyway."""
    for parent in list(root.iter()):
        for link in [child for child in parent if local_name(child) == "NetworkLink"]:
            targets = [each.text or "" for each in link.iter() if local_name(each) == "href"]
            if targets and all(target.strip() in names for target in targets):
                parent.remove(link)


def _data(placemark: Element) -> dict[str, str]:
    data: dict[str, str] = {}
    for extended in placemark:
        if local_name(extended) != "ExtendedData":
            continue
        for element in extended.iter():
            if local_name(element) == "Data":
                data[element.get("name", "")] = child_text(element, "value")
            elif local_name(element) == "SimpleData":
                data[element.get("name", "")] = (element.text or "").strip()
    return data


def _geometry(placemark: Element, name: str) -> Drawing:
    found = DrawingBuilder()
    geometries = [child for child in placemark if local_name(child) in _GEOMETRIES]
    if not geometries:
        found.left_out["placemark without geometry"] += 1
    while geometries:
        geometry = geometries.pop(0)
        kind = local_name(geometry)
        if kind in ("MultiGeometry", "MultiTrack"):
            geometries[:0] = [child for child in geometry if local_name(child) in _GEOMETRIES]
        elif kind == "Polygon":
            found.shapes.append(_polygon(geometry))
        elif kind == "Point":
            found.places += _coordinates(geometry)[:1]
        elif kind == "Track":
            _add_track(found, geometry, name)
        elif kind == "Model":
            found.left_out["model"] += 1
        else:
            found.add_line(name, _coordinates(geometry))
    return found.drawing()


def _add_track(found: DrawingBuilder, track: Element, name: str) -> None:
    written = [(child.text or "").split() for child in track if local_name(child) == "coord"]
    times = [(child.text or "").strip() for child in track if local_name(child) == "when"]
    if any(len(position) < 2 for position in written):
        raise ValueError("a coord of its track is no longitude and latitude")
    found.add_line(name, [point_of(lon, lat) for lon, lat, *_ in written], times)


def _polygon(polygon: Element) -> GroundShape:
    rings = {"outerBoundaryIs": [], "innerBoundaryIs": []}  # type: dict[str, list[list[Point]]]
    for boundary in polygon:
        kind = local_name(boundary)
        if kind in rings:
            rings[kind] += [
                _closed(_coordinates(ring)) for ring in boundary if local_name(ring) == "LinearRing"
            ]
    if len(rings["outerBoundaryIs"]) != 1:
        raise ValueError(f"its Polygon has {len(rings['outerBoundaryIs'])} outer rings")
    return read_polygons(
        [[[list(point) for point in ring] for ring in [*rings["outerBoundaryIs"], *rings["innerBoundaryIs"]]]]
    )


def _closed(ring: list[Point]) -> list[Point]:
    """The ring with its first point at its end, which some programs leave out."""
    return [*ring, ring[0]] if ring and ring[0] != ring[-1] else ring


def _coordinates(geometry: Element) -> list[Point]:
    # Some programs put spaces behind the commas.
    text = re.sub(r"\s*,\s*", ",", child_text(geometry, "coordinates"))
    points = []
    for position in text.split():
        lon, comma, rest = position.partition(",")
        if not comma:
            raise ValueError(f"{position[:40]!r} is no longitude and latitude")
        points.append(point_of(lon, rest.partition(",")[0]))
    if not points:
        raise ValueError(f"its {local_name(geometry)} has no coordinates")
    return points
