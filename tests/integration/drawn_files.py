"""Small files of every format that operators draw routes and areas in."""

from __future__ import annotations

import json
from typing import Any

KML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
KML_TAIL = "</Document></kml>"
LINE_KML = "<LineString><coordinates>11,48,500 11.5,48.25 12,48.5,0</coordinates></LineString>"
POLYGON_KML = (
    "<Polygon><outerBoundaryIs><LinearRing><coordinates>10,50,0 12,50,0 11,51,0 10,50,0</coordinates>"
    "</LinearRing></outerBoundaryIs><innerBoundaryIs><LinearRing><coordinates>10.9,50.2 11.1,50.2 11,50.4 "
    "10.9,50.2</coordinates></LinearRing></innerBoundaryIs></Polygon>"
)


def kml(*placemarks: str) -> str:
    return KML_HEAD + "".join(f"<Placemark>{content}</Placemark>" for content in placemarks) + KML_TAIL


def gpx(content: str) -> str:
    return f'<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">{content}</gpx>'


def geojson(*geometries: Any, **properties: Any) -> str:
    features = [{"type": "Feature", "geometry": each, "properties": properties} for each in geometries]
    return json.dumps({"type": "FeatureCollection", "features": features})


def item(command: int, lat: Any, lon: Any, frame: int = 3) -> dict[str, Any]:
    params = [0, 0, 0, None, lat, lon, 100]
    return {"type": "SimpleItem", "command": command, "frame": frame, "params": params, "autoContinue": True}


def plan(*items: Any, home: Any = (48.0, 11.0, 500), **mission: Any) -> str:
    return json.dumps(
        {
            "fileType": "Plan",
            "version": 1,
            "groundStation": "QGroundControl",
            "geoFence": {"circles": [], "polygons": [{"polygon": [[48, 11], [48, 12], [49, 12]]}]},
            "rallyPoints": {"points": [[48, 11, 50], [48.1, 11.1, 50]], "version": 2},
            "mission": {
                "version": 2, "firmwareType": 3, "vehicleType": 1, "cruiseSpeed": 20, "hoverSpeed": 5,
                "plannedHomePosition": list(home), "items": list(items), **mission,
            },
        }
    )  # fmt: skip


def waypoints(*items: tuple[int, int, float, float], home: tuple[float, float] = (48.0, 11.0)) -> str:
    """A waypoint file of items (frame, command, latitude, longitude) behind its home."""
    rows = [(0, 16, *home), *items]
    lines = [
        f"{index}\t{int(index == 0)}\t{frame}\t{command}\t0\t0\t0\t0\t{lat:.8f}\t{lon:.8f}\t100.0\t1"
        for index, (frame, command, lat, lon) in enumerate(rows)
    ]
    return "\r\n".join(["QGC WPL 110", *lines]) + "\r\n"
