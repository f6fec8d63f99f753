"""WMTS capabilities: the layer, its zooms and extents, and the address of its tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mercantile
import pytest
from wmts import capabilities, layer, matrices

from aerotile.adapters.tile_services.capabilities import ServiceLayer, read_capabilities
from aerotile.domain.errors import ImagerySourceError
from aerotile.domain.values.tile_grid import GridRange

_URL = "https://host/wmts/1.0.0/WMTSCapabilities.xml"
_REST = "https://host/{style}/{TileMatrixSet}/{Time}/{TileMatrix}/{TileRow}/{TileCol}.jpg"


def _read(content: bytes, name: str | None = None, **terms: Any) -> ServiceLayer:
    hide: Callable[[str], str] = lambda text: text  # noqa: E731 - as short as it is
    given: dict[str, Any] = {"tile_size": 256, "hide": hide}
    return read_capabilities(content, name=_URL, url=_URL, layer=name, **given | terms)


def test_an_address_in_a_path_with_style_grid_and_dimension_filled_in() -> None:
    found = _read(capabilities(layer("ortho", address=_REST)))
    assert found.template == "https://host/plain/grid/2024/{TileMatrix}/{TileRow}/{TileCol}.jpg"
    assert found.matrices == {zoom: f"m{zoom}" for zoom in range(19)}
    assert (found.title, found.attribution, found.licence) == ("Title of ortho", "Survey", "CC-BY-4.0")


def test_an_address_beside_the_document() -> None:
    found = _read(capabilities(layer("ortho", address="../t/{TileMatrix}/{TileRow}/{TileCol}")))
    assert found.template == "https://host/wmts/t/{TileMatrix}/{TileRow}/{TileCol}"


def test_an_address_in_a_query_asks_for_jpeg() -> None:
    found = _read(capabilities(layer("a b&amp;c"), layer("other")), "a b&c")
    assert found.template == (
        "https://host/wmts?SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=a+b%26c&STYLE=plain"
        "&FORMAT=image%2Fjpeg&TILEMATRIXSET=grid&TIME=2024"
        "&TILEMATRIX={TileMatrix}&TILEROW={TileRow}&TILECOL={TileCol}"
    )


def test_the_extent_is_that_of_the_box_or_of_the_limits() -> None:
    boxed = _read(capabilities(layer("ortho", address=_REST)))
    corners = [mercantile.tile(11.0, 48.5, 14), mercantile.tile(12.0, 47.5, 14)]
    assert boxed.extents[14] == GridRange(14, corners[0].x, corners[0].y, corners[1].x, corners[1].y)
    everywhere = _read(capabilities(layer("ortho", address=_REST, box=None)))
    assert everywhere.extents[3] == GridRange(3, 0, 0, 7, 7)
    limits = (
        "<TileMatrixSetLimits><TileMatrixLimits><TileMatrix>m5</TileMatrix><MinTileRow>3</MinTileRow>"
        "<MaxTileRow>9</MaxTileRow><MinTileCol>1</MinTileCol><MaxTileCol>99</MaxTileCol></TileMatrixLimits>"
        "</TileMatrixSetLimits>"
    )
    limited = _read(capabilities(layer("ortho", address=_REST, limits=limits)))
    assert limited.extents == {5: GridRange(5, 1, 3, 31, 9)}
    assert limited.matrices == {5: "m5"}


def test_a_box_across_the_antimeridian_is_taken_as_everywhere() -> None:
    found = _read(capabilities(layer("ortho", address=_REST, box="170 -20,-170 20")))
    assert found.extents[4] == GridRange(4, 0, 0, 15, 15)


def test_the_grid_with_the_store_s_tile_size_is_chosen() -> None:
    grids = [
        ("degrees", "urn:ogc:def:crs:EPSG::4326", matrices(range(5))),
        ("elsewhere", "EPSG:3857", matrices(range(5), corner="0 20037508.34")),
        ("double", "urn:ogc:def:crs:EPSG:6.18:3:3857", matrices(range(5), size=512)),
        ("ours", "EPSG:900913", matrices(range(7))),
    ]
    every = [name for name, _, _ in grids]
    with_ours = _read(capabilities(layer("o", address=_REST, grids=[every[0], "ours"]), grids=grids))
    assert "/ours/" in with_ours.template
    doubled = _read(capabilities(layer("o", address=_REST, grids=every[:3]), grids=grids))
    assert ("/double/" in doubled.template, sorted(doubled.matrices)) == (True, [0, 1, 2, 3, 4])
    with pytest.raises(ImagerySourceError, match=r"on no grid of Web Mercator .* \(degrees, elsewhere\)"):
        _read(capabilities(layer("o", address=_REST, grids=every[:2]), grids=grids))


def test_a_token_that_the_server_repeats_is_not_shown() -> None:
    content = capabilities(layer("o"), query_address="https://host/wmts?key=s3cret&amp;")
    found = _read(content, hide=lambda text: text.replace("s3cret", "{token}"))
    assert found.template.startswith("https://host/wmts?key={token}&SERVICE=WMTS")


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"<html", None, "it is no well-formed XML"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", None, "it declares a document type"),
        (b"<ows:ExceptionReport xmlns:ows='o'/>", None, "answers with <ExceptionReport>"),
        (capabilities(), None, "has 0 layers"),
        (capabilities(layer("a"), layer("b")), None, "has 2 layers"),
        (capabilities(layer("a"), layer("b")), "c", "has no layer c"),
        (capabilities(layer("a", kinds=["application/pbf"])), None, "offers no tiles as JPEG, PNG or WebP"),
        (capabilities(layer("a", grids=["gone"])), None, "on no grid of Web Mercator"),
        (capabilities(layer("a", grids=[])), None, "it names no grid"),
    ],
)
def test_what_can_not_be_brought_in_is_refused_in_one_line(
    content: bytes, name: str | None, words: str
) -> None:
    with pytest.raises(ImagerySourceError) as refused:
        _read(content, name)
    assert words in str(refused.value)
    assert "\n" not in refused.value.explained
    assert refused.value.remedy


def test_a_grid_that_is_linked_again_and_again_is_looked_at_once() -> None:
    """Else a document of 8 MiB, with links and matrices, takes hours."""
    grids = ["grid"] * 100 + [f"g{number}" for number in range(20)]
    with pytest.raises(ImagerySourceError, match=r"\(grid, g0, g1, .*, g8 and 11 more\)"):
        _read(capabilities(layer("a", grids=grids), grids=[("grid", "EPSG:3857", "<TileMatrix/>")]))


def test_a_refusal_lists_what_is_offered_in_part() -> None:
    kinds = [f"text/{number}" for number in range(20)]
    with pytest.raises(ImagerySourceError, match=r"\(text/0, .*, text/9 and 10 more\)"):
        _read(capabilities(layer("a", kinds=kinds)))
