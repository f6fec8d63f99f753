"""Addresses of tile servers: their forms, and what is refused."""

from __future__ import annotations

import mercantile
import pytest

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.tile_services.address import TileAddress, is_tile_address
from aerotile.domain.errors import ImagerySourceError
from aerotile.domain.ports.imagery_source import TilePlace

_PLACE = TilePlace(12, 2048, 1300)
_SECRET = Secret("a+b/c=")


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("https://host/{z}/{x}/{y}.jpg", "https://host/12/2048/1300.jpg"),
        ("https://host:8443/{z}/{y}/{x}", "https://host:8443/12/1300/2048"),
        ("https://host/tms/{z}/{x}/{-y}.png", "https://host/tms/12/2048/2795.png"),
        ("https://host/{q}.jpeg?g=1", f"https://host/{mercantile.quadkey(2048, 1300, 12)}.jpeg?g=1"),
        (
            "https://host/wmts/layer/default/GM/{TileMatrix}/{TileRow}/{TileCol}.jpg",
            "https://host/wmts/layer/default/GM/12/1300/2048.jpg",
        ),
        (
            "https://host/wmts?REQUEST=GetTile&TILEMATRIX={TileMatrix}&TILEROW={TileRow}&TILECOL={TileCol}",
            "https://host/wmts?REQUEST=GetTile&TILEMATRIX=12&TILEROW=1300&TILECOL=2048",
        ),
    ],
)
def test_forms_of_addresses(template: str, url: str) -> None:
    assert is_tile_address(template)
    assert TileAddress(template).url(_PLACE) == url
    assert TileAddress(template, _SECRET).headers == {"Authorization": "Bearer a+b/c="}


def test_a_token_in_the_address_is_quoted_and_not_shown() -> None:
    address = TileAddress("https://host/{z}/{x}/{y}.jpg?key={token}", _SECRET)
    assert address.url(_PLACE) == "https://host/12/2048/1300.jpg?key=a%2Bb%2Fc%3D"
    assert address.shown(_PLACE) == "https://host/12/2048/1300.jpg?key={token}"
    assert address.headers == {}


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("ftp://host/{z}/{x}/{y}", "no address of http or https"),
        ("https://host/{z}/{x}", "does not say where zoom, column and row go"),
        ("https://host/tiles.jpg", "does not say where zoom, column and row go"),
        ("https://host/{z}/{x}/{y}{r}.jpg", "has {r}, which stands for nothing"),
        ("https://{z}.host/{z}/{x}/{y}.jpg", "in its host"),
        ("https://host/{z}/{x}/{y}.jpg?k={token}", "has {token}, and no token is given"),
    ],
)
def test_addresses_that_are_refused(template: str, what: str) -> None:
    with pytest.raises(ImagerySourceError, match=what.replace("{", r"\{").replace("}", r"\}")) as refused:
        TileAddress(template)
    assert refused.value.remedy


@pytest.mark.parametrize(
    "template",
    [
        "https://me:hunter2@host/{z}/{x}/{y}.jpg",
        "https://host/{z}/{x}/{y}.jpg?access_token=hunter2",
        "https://host/{z}/{x}/{y}.jpg?a=1&api_key=hunter2",
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(template: str) -> None:
    with pytest.raises(ImagerySourceError) as refused:
        TileAddress(template)
    assert "hunter2" not in refused.value.explained
    assert "--token-file" in refused.value.explained


def test_a_token_goes_to_another_machine_by_https_alone() -> None:
    with pytest.raises(ImagerySourceError, match="unencrypted"):
        TileAddress("http://host/{z}/{x}/{y}.jpg", _SECRET)
    assert TileAddress("http://127.0.0.1:80/{z}/{x}/{y}.jpg", _SECRET).headers
