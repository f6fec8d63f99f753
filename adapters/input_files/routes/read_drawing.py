"""Read a file of any format that operators draw in; the content tells the format, not the name."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from ...files.regular_file import read_one_more
from ...safe_xml import local_name, parse_xml
from ...strict_json import parse_json
from ..errors import InputFileError
from .drawing import Drawing
from .geojson_lines import read_geojson
from .gpx import read_gpx
from .kml import read_kml, read_kmz
from .qgc_plan import is_plan, read_plan
from .waypoint_file import HEADER, read_waypoint_file

MAX_FILE_BYTES = 64 << 20
FORMATS = "GeoJSON, KML, KMZ, GPX, a plan of QGroundControl or a waypoint file (QGC WPL)"
_REMEDY = "correct the file, or export it anew"
_OTHERS = (
    (b"\0\0\x27\x0a", "is a shapefile"),
    (b"SQLite format 3\0", "is an SQLite database (a GeoPackage?)"),
    (b"%PDF", "is a PDF"),
    (b"\x89PNG", "is a PNG"),
    (b"\xff\xd8\xff", "is a JPEG"),
    (b"\x1f\x8b", "is compressed by gzip"),
)


def read_content(path: Path) -> bytes:
    """The content of a file, at most `MAX_FILE_BYTES`. Raises `InputFileError`, `OSError`."""
    with path.open("rb") as stream:
        content = read_one_more(stream, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        raise InputFileError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB", remedy=_REMEDY)
    return content


def read_drawing(path: Path) -> Drawing:
    """What a file shows on the map. Raises `InputFileError`, which names the file, or `OSError`."""
    return parse_drawing(read_content(path), str(path))


def parse_drawing(content: bytes, name: str) -> Drawing:
    """What the content of a file shows on the map. Raises `InputFileError`, which begins with the name."""
    try:
        return _parse(content)
    except (ValueError, InputFileError) as error:
        remedy = error.remedy if isinstance(error, InputFileError) else None
        raise InputFileError(f"{name}: {error}", remedy=remedy or _REMEDY) from error
    except RecursionError as error:
        raise InputFileError(f"{name}: it is nested too deeply", remedy=_REMEDY) from error


def is_markup(content: bytes) -> bool:
    """Whether a content is XML or an archive (a KMZ) by its first bytes."""
    text = content[:100].removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith((b"<", b"PK\3\4", b"\xff\xfe<", b"\xfe\xff\0<"))


def parse_markup(content: bytes) -> Element:
    """The root of an XML, or of the KML in a KMZ. Raises `ValueError`."""
    if content.startswith(b"PK\3\4"):
        return read_kmz(content, MAX_FILE_BYTES)
    if content[:100].lstrip()[:14].lower() == b"<!doctype html":
        raise ValueError("it is an HTML page (a portal's or a server's error?)")
    # Blank lines before the declaration are common, and no parser takes them.
    return parse_xml(
        content.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n") if content[:1] != b"\xff" else content
    )


def _parse(content: bytes) -> Drawing:
    if HEADER.match(content):
        return read_waypoint_file(content)
    if is_markup(content):
        root = parse_markup(content)
        kind = local_name(root)
        if kind == "gpx":
            return read_gpx(root)
        if kind in ("kml", "Document", "Folder", "Placemark"):
            return read_kml(root)
        raise ValueError(f"it is no KML and no GPX but XML with the root {kind[:40]!r}")
    for signature, kind in _OTHERS:
        if content.startswith(signature):
            raise InputFileError(f"it {kind}", remedy=f"export it as {FORMATS}")
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"{", b"[")):
        what = "is empty" if not text else f"is not {FORMATS}"
        raise InputFileError(f"it {what}", remedy=f"export it as {FORMATS}")
    try:
        document = parse_json(text.decode("utf-8"))
    except ValueError as error:  # bytes that are no UTF-8 too
        raise ValueError(f"it is no JSON: {error}") from error
    return read_plan(document) if is_plan(document) else read_geojson(document)
