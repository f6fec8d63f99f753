"""Sectors in KML files."""

from __future__ import annotations

from pathlib import Path

import pytest

from aerotile.adapters.input_files.errors import InputFileError
from aerotile.adapters.input_files.sector_files import read_sectors
from aerotile.domain.values.sectors import SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import MultiPolygon, Polygon

KML = """<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Folder>{}</Folder></Document></kml>"""
AREA = (
    "<Polygon><outerBoundaryIs><LinearRing><coordinates>10,50 12,50 11,51 10,50</coordinates></LinearRing>"
    "</outerBoundaryIs></Polygon>"
)


def placemark(name: str, geometry: str, classification: str = "stable_rear", more: str = "") -> str:
    data = f'<Data name="classification"><value>{classification}</value></Data>{more}'
    return f"<Placemark><name>{name}</name><ExtendedData>{data}</ExtendedData>{geometry}</Placemark>"


def test_placemarks_of_kml_are_sectors(tmp_path: Path) -> None:
    path = tmp_path / "sectors.kml"
    own_id = '<Data name="sector_id"><value>s-7</value></Data>'
    path.write_text(
        KML.format(
            placemark("north", AREA)
            + placemark("x", f"<MultiGeometry>{AREA}{AREA}</MultiGeometry>", "active_conflict", own_id)
            + placemark("empty", "")
            + "<NetworkLink/>"
        )
    )
    read = read_sectors(path)
    triangle = Polygon([[(10, 50), (12, 50), (11, 51)]])
    assert read.sectors == (
        SectorBoundary("north", SectorClassification.STABLE_REAR, triangle),
        SectorBoundary("s-7", SectorClassification.ACTIVE_CONFLICT, MultiPolygon([triangle, triangle])),
    )
    assert read.without_geometry == ("empty", "network link (1)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (KML.format(placemark("north", AREA, "danger")), "placemark 1: classification must be one of"),
        (KML.format(placemark("", AREA)), "placemark 1: it has no sector_id, no id and no name"),
        (KML.format(placemark("a", AREA) * 2), "placemark 2: sector_id 'a' is already"),
        (KML.format(placemark("a", "<Point><coordinates>1,2</coordinates></Point>")), "must be polygons"),
        (KML.format(""), "no placemark with polygons"),
        ("<gpx/>", "no KML but XML with the root 'gpx'"),
        ("<!DOCTYPE kml><kml/>", "declares a document type"),
        (KML.format(placemark("a", AREA.replace("51", "91"))), "latitude 91"),
        (KML.format(placemark("a", AREA.replace("12,50", "-179,50"))), "longer than 180 degrees"),
    ],
)
def test_kml_that_holds_no_sectors_is_refused_in_one_line(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sectors.kml"
    path.write_text(content)
    with pytest.raises(InputFileError) as caught:
        read_sectors(path)
    assert message in str(caught.value)
    assert "\n" not in caught.value.explained
    assert "no sector was changed" in caught.value.explained
