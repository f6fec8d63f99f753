"""WMTS capabilities: which layers a server has, and the address, zooms and extents of their tiles."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from urllib.parse import quote, urlencode, urljoin
from xml.etree.ElementTree import Element

import attrs

from ...domain.errors import ImagerySourceError
from ...domain.values.number_texts import read_decimal, read_whole
from ...domain.values.tile_grid import (
    EARTH_CIRCUMFERENCE_M,
    MAX_LATITUDE,
    MAX_ZOOM,
    GridRange,
    column_and_row,
    shared_range,
)
from ..safe_xml import child_text, local_name, parse_xml

_LISTED, _LONGEST_NAME = 10, 60
_WEB_MERCATOR = re.compile(r"(?:^|[:/])(?:3857|900913|102100|102113)$")
_METRES_PER_PIXEL = 0.00028
"""Of a scale denominator of 1: OGC 07-057r7, the standardised rendering pixel."""
_CORNER_TOLERANCE_M = 1.0
_WIDTH_TOLERANCE = 0.01
"""Of the world's width in tiles: at its eastern edge the grid is off by so much of a tile at most."""
_FORMATS = ("image/jpeg", "jpeg", "jpg", "image/png", "image/webp")
_HREF = "{http://www.w3.org/1999/xlink}href"
_KEPT = ("TileMatrix", "TileRow", "TileCol", "token")


@attrs.frozen(kw_only=True)
class ServiceLayer:
    """A layer of a WMTS server whose tiles lie on the store's grid."""

    template: str
    """With `{TileMatrix}`, `{TileRow}` and `{TileCol}`."""
    matrices: Mapping[int, str]
    """The name of the tile matrix of each zoom."""
    extents: Mapping[int, GridRange]
    title: str | None
    attribution: str | None
    licence: str | None
    """What the server says of its access constraints."""


@attrs.frozen
class _Matrix:
    zoom_level: int
    name: str
    tile_size: int


def read_capabilities(
    content: bytes, *, name: str, url: str, layer: str | None, tile_size: int, hide: Callable[[str], str]
) -> ServiceLayer:
    """The layer of that name, or the only one. `name` is what messages call the document.

    `url` is where it was fetched, without a token; `hide` takes the token out of the addresses in it. Raises
    `ImagerySourceError` for a document that is none, and for a layer that can't be brought in.
    """
    try:
        root = parse_xml(content)
    except ValueError as error:
        raise _refused(name, f"is no address of tiles, and no WMTS capabilities: {error}") from error
    if local_name(root) != "Capabilities":
        raise _refused(name, f"answers with <{local_name(root)[:40]}>, and not with WMTS capabilities")
    found = _chosen(root, name, layer)
    sets = {child_text(one, "Identifier"): one for one in root.iter() if _is_set(one)}
    unfit: dict[str, None] = {}
    for link in _children(found, "TileMatrixSetLink"):
        set_name = child_text(link, "TileMatrixSet")
        if set_name in unfit:  # so that the work never grows as links times matrices
            continue
        matrices = _matrices(sets.get(set_name), tile_size)
        if matrices:
            template = _joined(url, _template(root, found, set_name, name, hide), name)
            extents = _extents(found, link, matrices)
            shown = {one.zoom_level: one.name for one in matrices if one.zoom_level in extents}
            return ServiceLayer(
                template=template,
                matrices=shown,
                extents=extents,
                title=child_text(found, "Title") or None,
                attribution=_text_below(root, "ServiceProvider", "ProviderName"),
                licence=_constraints(root),
            )
        unfit[set_name] = None
    raise _refused(
        name,
        f"has the layer on no grid of Web Mercator with tiles of {tile_size} or {2 * tile_size} pixels "
        f"({_listed(unfit) or 'it names no grid'})",
    )


def _chosen(root: Element, name: str, layer: str | None) -> Element:
    layers = {
        child_text(one, "Identifier"): one
        for contents in _children(root, "Contents")
        for one in _children(contents, "Layer")
    }
    if layer is None and len(layers) == 1:
        return next(iter(layers.values()))
    if layer is not None and layer in layers:
        return layers[layer]
    what = f"has {len(layers)} layers" if layer is None else f"has no layer {layer}"
    raise _refused(name, what, f"name one behind the address: {_listed(layers, '#')}" if layers else None)


def _listed(names: Collection[str], mark: str = "") -> str:
    listed = ", ".join(mark + one[:_LONGEST_NAME] for one in itertools.islice(names, _LISTED))
    return listed + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _matrices(matrix_set: Element | None, tile_size: int) -> list[_Matrix]:
    """The matrices on the store's grid, one a zoom; of the store's tile size, or else of twice that."""
    if matrix_set is None or not _WEB_MERCATOR.search(child_text(matrix_set, "SupportedCRS")):
        return []
    found = [one for one in map(_matrix, _children(matrix_set, "TileMatrix")) if one is not None]
    for size in (tile_size, 2 * tile_size):
        by_zoom = {one.zoom_level: one for one in found if one.tile_size == size}
        if by_zoom:
            return [by_zoom[zoom] for zoom in sorted(by_zoom)]
    return []


def _matrix(element: Element) -> _Matrix | None:
    """None for a matrix that is not on the grid."""
    try:
        scale = read_decimal(child_text(element, "ScaleDenominator"))
        corner = [read_decimal(part) for part in child_text(element, "TopLeftCorner").split()]
        width, height = (read_whole(child_text(element, name)) for name in ("TileWidth", "TileHeight"))
        across = EARTH_CIRCUMFERENCE_M / (scale * _METRES_PER_PIXEL * width)
        zoom_level = round(math.log2(across))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    half = EARTH_CIRCUMFERENCE_M / 2
    is_placed = len(corner) == 2 and all(
        abs(got - wanted) <= _CORNER_TOLERANCE_M for got, wanted in zip(corner, (-half, half), strict=True)
    )
    fits = 0 <= zoom_level <= MAX_ZOOM and abs(across - 2.0**zoom_level) <= _WIDTH_TOLERANCE
    name = child_text(element, "Identifier")
    return _Matrix(zoom_level, name, width) if is_placed and fits and width == height and name else None


def _template(root: Element, layer: Element, set_name: str, name: str, hide: Callable[[str], str]) -> str:
    """The address of tiles, in which only `_KEPT` are left to fill in; in a path, or else in a query."""
    styles = sorted(_children(layer, "Style"), key=lambda one: one.get("isDefault") != "true")
    style = child_text(styles[0], "Identifier") if styles else "default"
    values = {"style": style, "tilematrixset": set_name}
    for dimension in _children(layer, "Dimension"):
        values[child_text(dimension, "Identifier").lower()] = child_text(dimension, "Default")
    templates = {
        one.get("format", ""): one.get("template", "")
        for one in _children(layer, "ResourceURL")
        if one.get("resourceType") == "tile"
    }
    if (kind := _best(templates)) is not None:
        return re.sub(r"\{([^{}]*)\}", lambda match: _value(match[1], values), hide(templates[kind]))
    formats = [(child.text or "").strip() for child in _children(layer, "Format")]
    kind, base = _best(formats), _get_tile_address(root)
    if kind is None or base is None:
        offered = _listed(formats) or "no format"
        raise _refused(name, f"offers no tiles as JPEG, PNG or WebP under an address ({offered})")
    query = {
        "SERVICE": "WMTS",
        "REQUEST": "GetTile",
        "VERSION": "1.0.0",
        "LAYER": child_text(layer, "Identifier"),
        "STYLE": style,
        "FORMAT": kind,
        "TILEMATRIXSET": set_name,
        **{key.upper(): text for key, text in values.items() if key not in ("style", "tilematrixset")},
    }
    address = hide(base)
    mark = "" if address.endswith(("?", "&")) else "&" if "?" in address else "?"
    numbers = "TILEMATRIX={TileMatrix}&TILEROW={TileRow}&TILECOL={TileCol}"
    return f"{address}{mark}{urlencode(query)}&{numbers}"


def _joined(url: str, address: str, name: str) -> str:
    try:
        return urljoin(url, address)
    except ValueError as error:
        raise _refused(name, f"gives no address of its tiles: {error}") from error


def _value(field: str, values: Mapping[str, str]) -> str:
    if field in _KEPT or field.lower() not in values:
        return f"{{{field}}}"
    return quote(values[field.lower()], safe="")


def _best(formats: Iterable[str]) -> str | None:
    """The format that is preferred: JPEG goes in verbatim. None where none can be brought in."""
    ranked = [(rank, one) for one in formats for rank, words in enumerate(_FORMATS) if words in one.lower()]
    return min(ranked)[1] if ranked else None


def _get_tile_address(root: Element) -> str | None:
    for operation in root.iter():
        if local_name(operation) == "Operation" and operation.get("name") == "GetTile":
            for get in operation.iter():
                encodings = [one.text for one in get.iter() if local_name(one) == "Value"]
                if local_name(get) == "Get" and (not encodings or "KVP" in encodings):
                    return get.get(_HREF)
    return None


def _extents(layer: Element, link: Element, matrices: list[_Matrix]) -> dict[int, GridRange]:
    """By zoom, where the layer has tiles: its limits, or else its box, or else everywhere."""
    box = _box(layer)
    limits = {
        child_text(one, "TileMatrix"): one
        for each in _children(link, "TileMatrixSetLimits")
        for one in _children(each, "TileMatrixLimits")
    }
    extents = {}
    for matrix in matrices:
        zoom, last = matrix.zoom_level, (1 << matrix.zoom_level) - 1
        whole = GridRange(zoom, 0, 0, last, last)
        extent: GridRange | None = whole
        if limits:
            extent = _limited(zoom, limits.get(matrix.name), whole)
        elif box is not None:
            south, west, north, east = box
            min_x, min_y = column_and_row(north, west, zoom)
            max_x, max_y = column_and_row(south, east, zoom)
            extent = GridRange(zoom, min_x, min_y, max_x, max_y) if min_x <= max_x else whole
        if extent is not None:
            extents[zoom] = extent
    return extents


def _limited(zoom: int, limits: Element | None, whole: GridRange) -> GridRange | None:
    if limits is None:
        return None
    try:
        names = ("MinTileCol", "MinTileRow", "MaxTileCol", "MaxTileRow")
        min_x, min_y, max_x, max_y = (max(0, read_whole(child_text(limits, name))) for name in names)
        given = GridRange(zoom, min_x, min_y, min(max_x, whole.max_x), min(max_y, whole.max_y))
        return shared_range(given, whole)
    except ValueError:
        return None


def _box(layer: Element) -> tuple[float, float, float, float] | None:
    """South, west, north and east in degrees, on the grid."""
    for one in _children(layer, "WGS84BoundingBox"):
        try:
            west, south = (read_decimal(part) for part in child_text(one, "LowerCorner").split())
            east, north = (read_decimal(part) for part in child_text(one, "UpperCorner").split())
        except ValueError:
            continue
        if -90 <= south <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180:
            clipped = (max(-MAX_LATITUDE, min(MAX_LATITUDE, edge)) for edge in (south, north))
            south, north = clipped
            return south, west, north, east
    return None


def _constraints(root: Element) -> str | None:
    text = _text_below(root, "ServiceIdentification", "AccessConstraints")
    return None if text is None or text.lower() == "none" else text


def _text_below(root: Element, parent: str, name: str) -> str | None:
    return next((child_text(one, name) for one in _children(root, parent)), "") or None


def _children(element: Element, name: str) -> list[Element]:
    return [child for child in element if local_name(child) == name]


def _is_set(element: Element) -> bool:
    return local_name(element) == "TileMatrixSet" and any(
        local_name(child) == "TileMatrix" for child in element
    )


def _refused(name: str, what: str, remedy: str | None = None) -> ImagerySourceError:
    return ImagerySourceError(
        f"{name} {what}",
        remedy=remedy or "name the address of its tiles, as https://host/{z}/{x}/{y}.jpg",
    )
