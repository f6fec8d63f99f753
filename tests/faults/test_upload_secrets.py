"""Uploads give a token and tiles to nobody but their provider: redirects, certificates, cookies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from provider_acts import TILES, finish, status, swallow

pytestmark = pytest.mark.faults


def test_a_redirect_is_not_followed_and_the_other_host_gets_nothing(
    flown: Any, scripted_provider: Callable[..., Any]
) -> None:
    provider, other = scripted_provider(), scripted_provider()

    def redirect(exchange: Any) -> None:
        exchange.receive_body()
        exchange.answer(307, Location=f"{other.url}/v1/tiles:batch")

    provider.always = redirect
    result = flown.call("upload", upload_url=provider.url)
    assert result.code == 1
    assert f"it redirects to {other.url}/v1/tiles:batch, which is not followed" in result.err
    assert other.requests == []
    assert flown.states() == {"pending": TILES}
    finish(flown, provider)


@pytest.mark.parametrize("code", [300, 304])
def test_an_answer_that_redirects_nowhere_is_told_as_what_it_is(
    flown: Any, scripted_provider: Callable[..., Any], code: int
) -> None:
    provider = scripted_provider()
    provider.always = status(code, Location="/elsewhere")
    result = flown.call("upload", upload_url=provider.url)
    assert result.code == 1
    assert f"the provider answered with status {code}" in result.err
    assert "redirect" not in result.err
    assert flown.states() == {"pending": TILES}


@pytest.mark.parametrize("location", ["http://xn--/", "http://[::1/", "javascript:x", "/\x1b[31m"])
def test_a_redirect_to_no_address_is_told_and_costs_no_tile(
    flown: Any, scripted_provider: Callable[..., Any], location: str
) -> None:
    provider = scripted_provider()

    def redirect(exchange: Any) -> None:
        exchange.receive_body()
        exchange.answer(307, Location=location)

    provider.always = redirect
    result = flown.call("upload", upload_url=provider.url)
    assert result.code == 1
    shown = location.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    assert f"it redirects to {shown}, which is not followed" in result.err
    assert flown.states() == {"pending": TILES}


@pytest.mark.parametrize("served", ["expired", "foreign", "misnamed"])
def test_a_bad_certificate_ends_it_before_a_token_or_a_tile_is_sent(
    flown: Any, scripted_provider: Callable[..., Any], certificates: Any, served: str
) -> None:
    provider = scripted_provider(certificates[served])
    trusted = certificates["authority"]
    result = flown.call("upload", upload_url=provider.url, upload_ca_file=trusted)
    assert result.code == 1
    assert "certificate_refused" in result.err
    assert "check this machine's clock, upload.ca_file" in result.err
    assert provider.requests == []
    assert flown.states() == {"pending": TILES}
    good = scripted_provider(certificates["good"])
    assert flown.call("upload", upload_url=good.url, upload_ca_file=trusted).code == 0
    assert flown.states() == {"uploaded": TILES}


def test_http_on_an_https_port_and_the_other_way_round_are_told(
    flown: Any, scripted_provider: Callable[..., Any], certificates: Any
) -> None:
    plain, secure = scripted_provider(), scripted_provider(certificates["good"])
    result = flown.call(
        "upload", upload_url=plain.url.replace("http:", "https:"), upload_connect_timeout_s=0.5
    )
    assert result.code == 1
    assert "error: 6 tiles are left pending: " in result.err
    result = flown.call("upload", upload_url=secure.url.replace("https:", "http:"))
    assert result.code == 1
    assert "error: 6 tiles are left pending: " in result.err


def test_the_token_travels_in_its_header_only_and_is_shown_nowhere(
    flown: Any, scripted_provider: Callable[..., Any]
) -> None:
    provider = scripted_provider()
    provider.acts = [status(503)]
    result = flown.call("upload", "-vv", "--json", upload_url=provider.url, upload_max_in_call_retries=1)
    assert result.code == 0
    (headers, *_) = provider.requests
    assert headers.pop("authorization") == "Bearer t0ps3cr3t-t0k3n"
    assert headers.pop("accept-encoding") == "identity"
    assert "cookie" not in headers
    assert "t0ps3cr3t" not in json.dumps(headers) + result.out + result.err
    status_of_all = flown.call("status", upload_url=provider.url)
    assert "t0ps3cr3t" not in status_of_all.out + status_of_all.err
    record = b"".join(path.read_bytes() for path in (flown.root / "record").iterdir())
    assert b"t0ps3cr3t" not in record


def test_a_black_hole_behind_tls_costs_no_more_than_its_deadline(
    flown: Any, scripted_provider: Callable[..., Any], certificates: Any
) -> None:
    provider = scripted_provider(certificates["good"])
    provider.acts = [swallow]
    trusted = certificates["authority"]
    result = flown.call(
        "upload",
        upload_url=provider.url,
        upload_ca_file=trusted,
        upload_request_timeout_s=0.5,
        upload_max_in_call_retries=1,
    )
    assert result.code == 0
    assert flown.states() == {"uploaded": TILES}


def test_cookies_are_not_kept(flown: Any, scripted_provider: Callable[..., Any]) -> None:
    provider = scripted_provider()

    def bake(exchange: Any) -> None:
        exchange.answer(200, {"results": exchange.store()}, Set_Cookie="a=b; Path=/")

    provider.acts = [bake]
    assert flown.call("upload", upload_url=provider.url).code == 0
    assert ["cookie" in headers for headers in provider.requests] == [False, False]
