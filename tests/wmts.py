"""WMTS capabilities as servers write them, for tests."""

from __future__ import annotations

from collections.abc import Sequence

_SCALE = 559082264.0287178


def matrices(zooms: Sequence[int], *, size: int = 256, corner: str = "-20037508.34 20037508.34") -> str:
    """Tile matrices of Web Mercator, named `m0`, `m1`, ..."""
    return "".join(
        f"<TileMatrix><ows:Identifier>m{zoom}</ows:Identifier>"
        f"<ScaleDenominator>{_SCALE * 256 / size / 2**zoom!r}</ScaleDenominator>"
        f"<TopLeftCorner>{corner}</TopLeftCorner>"
        f"<TileWidth>{size}</TileWidth><TileHeight>{size}</TileHeight>"
        f"<MatrixWidth>{2**zoom}</MatrixWidth><MatrixHeight>{2**zoom}</MatrixHeight></TileMatrix>"
        for zoom in zooms
    )


def layer(
    name: str,
    *,
    address: str | None = None,
    kinds: Sequence[str] = ("image/png", "image/jpeg"),
    grids: Sequence[str] = ("grid",),
    limits: str = "",
    box: str | None = "11.0 47.5,12.0 48.5",
) -> str:
    """A layer; with `address` its tiles lie at it, otherwise they are asked for in a query."""
    corners = "" if box is None else box.replace(",", "</ows:LowerCorner><ows:UpperCorner>")
    shown_box = (
        f"<ows:WGS84BoundingBox><ows:LowerCorner>{corners}</ows:UpperCorner></ows:WGS84BoundingBox>"
        if corners
        else ""
    )
    formats = "".join(f"<Format>{kind}</Format>" for kind in kinds)
    links = "".join(
        f"<TileMatrixSetLink><TileMatrixSet>{grid}</TileMatrixSet>{limits}</TileMatrixSetLink>"
        for grid in grids
    )
    resources = "".join(
        f'<ResourceURL format="{kind}" resourceType="tile" template="{address}"/>'
        for kind in kinds
        if address is not None
    )
    return (
        f"<Layer><ows:Title>Title of {name}</ows:Title>{shown_box}<ows:Identifier>{name}</ows:Identifier>"
        '<Style><ows:Identifier>other</ows:Identifier></Style><Style isDefault="true">'
        f"<ows:Identifier>plain</ows:Identifier></Style>{formats}"
        "<Dimension><ows:Identifier>Time</ows:Identifier><Default>2024</Default></Dimension>"
        f"{links}{resources}</Layer>"
    )


def capabilities(
    *layers: str,
    grids: Sequence[tuple[str, str, str]] = (("grid", "urn:ogc:def:crs:EPSG::3857", matrices(range(19))),),
    query_address: str = "https://host/wmts?",
) -> bytes:
    """The whole document; `grids` are name, projection and matrices."""
    sets = "".join(
        f"<TileMatrixSet><ows:Identifier>{name}</ows:Identifier>"
        f"<ows:SupportedCRS>{projection}</ows:SupportedCRS>{inside}</TileMatrixSet>"
        for name, projection, inside in grids
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Capabilities xmlns="http://www.opengis.net/wmts/1.0" '
        'xmlns:ows="http://www.opengis.net/ows/1.1" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'version="1.0.0"><ows:ServiceIdentification><ows:Title>tiles</ows:Title>'
        "<ows:AccessConstraints>CC-BY-4.0</ows:AccessConstraints></ows:ServiceIdentification>"
        "<ows:ServiceProvider><ows:ProviderName>Survey</ows:ProviderName></ows:ServiceProvider>"
        '<ows:OperationsMetadata><ows:Operation name="GetTile"><ows:DCP><ows:HTTP>'
        f'<ows:Get xlink:href="{query_address}"><ows:Constraint name="GetEncoding"><ows:AllowedValues>'
        "<ows:Value>KVP</ows:Value></ows:AllowedValues></ows:Constraint></ows:Get>"
        "</ows:HTTP></ows:DCP></ows:Operation></ows:OperationsMetadata>"
        f"<Contents>{''.join(layers)}{sets}</Contents></Capabilities>"
    ).encode()
