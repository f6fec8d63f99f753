"""What headers say of a tile and to a server: versions, redirects, tokens."""

from __future__ import annotations

import logging

import pytest
from service_reads import PATH, are_the_tiles, block, path_of, read_all, source_at, source_of
from tile_server import PORTAL, Behaviour, TileServer, tile_of

from aerotile.adapters.config.secret import Secret
from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.tile_services.address import TileAddress
from aerotile.adapters.tile_services.versions import condition_of
from aerotile.domain.errors import ImageryPlaceError, ImagerySourceError
from aerotile.domain.ports.imagery_source import ImageryTile, ReadPlace, Unchanged

TOKEN = "t0ps3cr3t-value"


def test_a_tile_that_has_not_changed_is_not_sent_again(server: TileServer, clock: ManualClock) -> None:
    places = block(2)
    versions = {path: f'"{number}"' for number, path in enumerate(map(path_of, places))}
    server.behaviour = Behaviour(etag=versions.get)
    with source_at(server, clock) as source:
        first = {one.place: one for one in source.read(places) if isinstance(one, ImageryTile)}
        known = {place: one.version for place, one in first.items()}
        assert known[places[3]] == 'ETag: "3"'
        versions[path_of(places[1])] = '"new"'
        again = list(source.read(places, known))
        assert [type(one) for one in again] == [Unchanged, ImageryTile, Unchanged, Unchanged]
        assert again[1].version == 'ETag: "new"'
    assert server.served[path_of(places[0])] == 1
    assert server.served[path_of(places[1])] == 2


def test_the_time_of_a_tile_is_asked_for_where_the_server_has_no_etag(
    server: TileServer, clock: ManualClock
) -> None:
    changed = "Fri, 01 May 2026 10:00:00 GMT"
    server.behaviour = Behaviour(last_modified=changed)
    places = block(1)
    with source_at(server, clock) as source:
        (tile,) = source.read(places)
        assert isinstance(tile, ImageryTile)
        assert tile.version == f"Last-Modified: {changed}"
        assert list(source.read(places, {places[0]: tile.version})) == [Unchanged.UNCHANGED]


def test_an_unasked_answer_that_nothing_changed_is_garbage(server: TileServer, clock: ManualClock) -> None:
    server.behaviour = Behaviour(fail_every=1, status=304)
    (error,) = read_all(server, clock, block(1))
    assert isinstance(error, ImageryPlaceError)
    assert error.kind == "status 304"


@pytest.mark.parametrize("version", [None, "", "ETag", "Server: x", "ETag: a\r\nB: b", "ETag: ä", "ETag: "])
def test_a_text_that_is_no_version_asks_for_all_of_the_tile(version: str | None) -> None:
    assert condition_of(version) == {}


def test_a_redirect_to_another_server_is_not_followed(server: TileServer, clock: ManualClock) -> None:
    places = block(3)
    with TileServer() as other:
        server.behaviour = Behaviour(
            token=TOKEN, redirect_to=lambda path: other.address + path if path == path_of(places[4]) else None
        )
        with source_at(server, clock, TOKEN) as source:
            read = list(source.read(places))
        assert not other.requests
    (error,) = [one for one in read if isinstance(one, ImageryPlaceError)]
    assert error.kind == "a redirect to another server"


@pytest.mark.parametrize(
    "location",
    ["http://xn--/x", "http://[::1/x", "javascript:x", "http://127.0.0.1:99999/", "file:///etc/passwd"],
)
def test_a_redirect_to_no_address_is_not_asked_again(
    location: str, server: TileServer, clock: ManualClock
) -> None:
    places = block(2)
    server.behaviour = Behaviour(redirect_to=lambda path: location if path == path_of(places[2]) else None)
    read = read_all(server, clock, places)
    (error,) = [one for one in read if isinstance(one, ImageryPlaceError)]
    assert error.kind == "a redirect to another server"
    assert server.requests[path_of(places[2])] == 1


def test_a_redirect_on_the_server_itself_is_followed(server: TileServer, clock: ManualClock) -> None:
    places = block(2)
    server.behaviour = Behaviour(
        redirect_to=lambda path: path + "?moved" if not path.endswith("?moved") else None,
        body=lambda path: tile_of(path.removesuffix("?moved")),
    )
    assert are_the_tiles(read_all(server, clock, places), places)


def test_a_token_that_expires_ends_the_run_and_the_next_one_goes_on(
    server: TileServer, clock: ManualClock
) -> None:
    server.behaviour = Behaviour(token=TOKEN, token_expires_after=20)
    places = block(8)
    read: list[ReadPlace] = []
    with source_at(server, clock, TOKEN, connections=4) as source:
        reading = source.read(places)
        with pytest.raises(ImagerySourceError) as stopped:
            read.extend(reading)
    assert TOKEN not in stopped.value.explained
    assert "refuses this client (status 401) — renew the token" in stopped.value.explained
    assert len(read) <= 20
    assert server.requests.total() <= 20 + 4
    server.behaviour.token_expires_after = None
    with source_at(server, clock, TOKEN) as source:
        read += source.read(places[len(read) :])
    assert are_the_tiles(read, places)


def test_no_log_and_no_error_shows_the_token(
    server: TileServer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, name)
    address = TileAddress(server.address + PATH + "?key={token}", Secret("t0p/s3cr3t+value"))
    server.behaviour = Behaviour(body=lambda path: PORTAL if "2001" in path else tile_of(path))
    with source_of(address, clock) as source:
        read = list(source.read(block(2)))
    errors = [str(one) for one in read if isinstance(one, ImageryPlaceError)]
    assert errors
    assert all("key={token}" in error for error in errors)
    assert any("t0p%2Fs3cr3t%2Bvalue" in path for path in server.requests)
    assert "s3cr3t" not in caplog.text + repr(address) + source.name + "".join(errors)
