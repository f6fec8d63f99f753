"""Addresses of tile servers: their forms, and what is refused."""

from __future__ import annotations

import mercantile
import pytest

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.tile_services.address import ServerAddress, TileAddress, has_numbers, is_address
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
    assert is_address(template)
    assert has_numbers(template)
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
        ("file:///etc/{z}/{x}/{y}", "no address of http or https"),
        ("https:///{z}/{x}/{y}", "no address of http or https"),
        ("https://host:port/{z}/{x}/{y}", "no address of http or https"),
        ("https://[host/{z}/{x}/{y}", "no address of http or https"),
        ("https://host/{z}/{x}/{y}\r\nX: y", "no address of http or https"),
        ("https://host/#/{z}/{x}/{y}", "goes on behind a #"),
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
        "https://host/{z}/{x}/{y}.jpg?subscription-key=hunter2",
        "https://host/{z}/{x}/{y}.jpg?apikey=hunter2",
        "https://host/{z}/{x}/{y}.jpg?sig=hunter2",
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(template: str) -> None:
    with pytest.raises(ImagerySourceError) as refused:
        TileAddress(template)
    assert "hunter2" not in refused.value.explained
    assert "--token-file" in refused.value.explained


@pytest.mark.parametrize(
    "template",
    [
        "https://me:hunter2@host:99999/{z}/{x}/{y}.jpg",
        "https://me:hunter2@host/{z}/{x}/{y}.jpg#a",
        "ftp://me:hunter2@host/{z}/{x}/{y}.jpg",
        "https://{s}.host/{z}/{x}/{y}.png?a=1&apikey=hunter2",
        "https://host/{z}/{x}/{y}.png?api%5Fkey=hunter2#a",
        "https://host/{z}/{x}/{y}.png?key=hunter2 ",
    ],
)
def test_an_address_that_is_wrong_in_another_way_shows_no_secret_either(template: str) -> None:
    with pytest.raises(ImagerySourceError) as refused:
        TileAddress(template)
    assert "hunter2" not in refused.value.explained
    assert "host" in str(refused.value)


def test_a_token_goes_to_another_machine_by_https_alone() -> None:
    with pytest.raises(ImagerySourceError, match="unencrypted"):
        TileAddress("http://host/{z}/{x}/{y}.jpg", _SECRET)
    assert TileAddress("http://127.0.0.1:80/{z}/{x}/{y}.jpg", _SECRET).headers


def test_names_that_only_sound_like_secrets_are_none() -> None:
    template = "https://host/{z}/{x}/{y}.jpg?design=monkey&keyboard=1&passage=2"
    assert TileAddress(template).url(_PLACE).endswith("?design=monkey&keyboard=1&passage=2")


def test_a_token_that_a_server_repeats_is_taken_out() -> None:
    address = ServerAddress("https://host/wmts?key={token}", _SECRET)
    assert address.whole_url == "https://host/wmts?key=a%2Bb%2Fc%3D"
    assert address.without_token("x?key=a%2Bb%2Fc%3D&t=a+b/c=") == "x?key={token}&t={token}"


def test_a_matrix_has_a_name_of_its_own() -> None:
    address = TileAddress("https://host/{TileMatrix}/{TileRow}/{TileCol}", None, {12: "GM:12"})
    assert address.url(_PLACE) == "https://host/GM%3A12/1300/2048"
