"""Tiles fetched from a server that behaves badly. Waits pass on a clock of the test's own."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from archives import picture
from service_reads import START, are_the_tiles, block, path_of, read_all, source_at
from tile_server import PORTAL, Behaviour, TileServer, tile_of

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.tile_services.exchange import MAX_ANSWER_BYTES
from aerotile.adapters.tile_services.pace import Pace
from aerotile.domain.errors import ImageryPlaceError, ImagerySourceError
from aerotile.domain.policies.tile_fetching import FetchLimits
from aerotile.domain.ports.imagery_source import ImageryTile, ReadPlace


def test_every_tile_comes_verbatim_in_order_and_is_asked_for_once(
    server: TileServer, clock: ManualClock
) -> None:
    places = block(8)
    assert are_the_tiles(read_all(server, clock, places), places)
    assert set(server.requests.values()) == {1}
    assert {headers["User-Agent"] for headers in server.headers} == {"aerotile/test"}


def test_two_thousand_tiles_of_a_server_that_fails_throttles_and_dies_twice(
    server: TileServer, clock: ManualClock
) -> None:
    places = block(45)
    behaviour = server.behaviour
    behaviour.fail_every, behaviour.status, behaviour.retry_after_s = 10, 429, 2
    behaviour.drop = range(300, 340)
    started = clock.monotonic()
    read: list[ReadPlace] = []
    # Each thread's sleeps pass for all eight: the outage looks longer than it is.
    limits = {"connections": 8, "requests_per_second": 500.0, "max_outage_s": 3600.0, "max_attempts": 20}
    with source_at(server, clock, **limits) as source:
        for first in range(0, len(places), 256):
            read += source.read(places[first : first + 256])
            if first == 768:
                behaviour.status, behaviour.retry_after_s = 500, None
                behaviour.drop = range(1400, 1440)
    assert are_the_tiles(read, places)
    assert set(server.served.values()) == {1}  # none was fetched twice
    assert server.most_at_once <= 8
    assert clock.monotonic() - started >= (server.requests.total() - 1) / 500.0


def test_a_server_that_is_started_anew_costs_no_tile(server: TileServer) -> None:
    class RestartingClock(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() > 100 and server._server is None:
                server.start()

    clock = RestartingClock(START)
    places = block(3)
    with source_at(server, clock, max_attempts=2) as source:
        first = list(source.read(places[:2]))
        server.stop()
        read = first + list(source.read(places[2:]))
    assert are_the_tiles(read, places)
    assert clock.monotonic() > 100


def test_a_server_that_stays_away_ends_the_run_with_one_line(server: TileServer, clock: ManualClock) -> None:
    places = block(3)
    with source_at(server, clock, max_outage_s=120.0, connections=1) as source:
        list(source.read(places[:1]))
        server.stop()
        with pytest.raises(ImagerySourceError, match="does not answer: no connection") as stopped:
            list(source.read(places[1:]))
    assert "run the same command again" in stopped.value.explained
    assert 120 < clock.monotonic() < 200


def test_a_server_that_never_answered_is_not_waited_for_as_long(
    server: TileServer, clock: ManualClock
) -> None:
    server.stop()
    with pytest.raises(ImagerySourceError, match="does not answer: no connection"):
        read_all(server, clock, block(3), connections=1)
    assert 20 < clock.monotonic() < 60


def test_a_long_pause_between_blocks_is_no_outage(server: TileServer, clock: ManualClock) -> None:
    places = block(4)
    with source_at(server, clock) as source:
        first = list(source.read(places[:8]))
        clock.sleep(10_000.0)
        server.behaviour.fail_every = 2
        second = list(source.read(places[8:]))
    assert are_the_tiles(first + second, places)


@pytest.mark.parametrize("as_date", [False, True])
def test_what_the_server_asks_to_wait_is_waited_by_every_request(
    as_date: bool, server: TileServer, clock: ManualClock
) -> None:
    server.behaviour = Behaviour(fail_every=5, status=503, retry_after_s=100, retry_as_date=as_date)
    places = block(3)
    assert are_the_tiles(read_all(server, clock, places, connections=1), places)
    failures = server.requests.total() - len(places)
    assert failures >= 2
    # A date has whole seconds.
    assert failures * 99 <= clock.monotonic() <= failures * 101 + 5


def test_a_wait_of_an_hour_ends_the_run(server: TileServer, clock: ManualClock) -> None:
    server.behaviour = Behaviour(fail_every=3, status=429, retry_after_s=3600)
    with pytest.raises(ImagerySourceError, match="asks to wait 3600 s"):
        read_all(server, clock, block(3), connections=1)
    assert clock.monotonic() < 60


@pytest.mark.parametrize("status", [404, 204])
def test_a_place_without_a_tile_is_nothing(status: int, server: TileServer, clock: ManualClock) -> None:
    places = block(4)
    gone = {path_of(place) for place in places[::3]}
    server.behaviour = Behaviour(is_missing=gone.__contains__, missing_status=status)
    read = read_all(server, clock, places)
    assert [one is None for one in read] == [path_of(place) in gone for place in places]
    assert set(server.requests.values()) == {1}


def test_garbage_is_never_a_tile_and_counted_by_kind(server: TileServer, clock: ManualClock) -> None:
    places = block(6)
    garbage = {
        path_of(places[5]): PORTAL,
        path_of(places[6]): PORTAL,
        path_of(places[7]): b'{"error": "no such layer"}',
        path_of(places[8]): b"\x89PNG\r\n\x1a\n" + bytes(40),
        path_of(places[9]): b"GIF89a" + bytes(40),
        path_of(places[10]): bytes(40),
        path_of(places[11]): b"",
        path_of(places[12]): bytes(MAX_ANSWER_BYTES + 1),
        path_of(places[13]): picture(1, size=300),
    }
    server.behaviour = Behaviour(body=lambda path: garbage.get(path, tile_of(path)))
    read = read_all(server, clock, places, connections=1)
    kinds = Counter(one.kind for one in read if isinstance(one, ImageryPlaceError))
    assert kinds == {
        "an HTML page (a portal's or a server's error?)": 2,
        "a JSON document (a server's error?)": 1,
        "a damaged PNG": 1,
        "empty": 1,
        f"an answer of more than {MAX_ANSWER_BYTES} bytes": 1,
        "a JPEG of another size": 1,
        "a GIF": 1,
        "no JPEG: it does not begin with the marker of one": 1,
    }
    assert sum(isinstance(one, ImageryTile) for one in read) == len(places) - len(garbage)
    assert set(server.requests.values()) == {1}


def test_a_portal_in_front_of_everything_ends_the_run(server: TileServer, clock: ManualClock) -> None:
    server.behaviour = Behaviour(body=lambda path: PORTAL)
    with pytest.raises(ImagerySourceError, match="in a row without a tile, at last with an HTML page"):
        read_all(server, clock, block(12), garbage_at_first=20, connections=4)
    assert server.requests.total() <= 20 + 4


def test_a_server_of_tiles_of_another_size_ends_the_run(server: TileServer, clock: ManualClock) -> None:
    server.behaviour = Behaviour(body=lambda path: picture(1, size=300))
    with pytest.raises(ImagerySourceError, match="20 times in a row without a tile, at last with a JPEG of"):
        read_all(server, clock, block(12), garbage_at_first=20, connections=1)
    assert server.requests.total() == 20


def test_a_portal_that_comes_half_way_ends_the_run(server: TileServer, clock: ManualClock) -> None:
    places = block(8)
    good = {path_of(place) for place in places[:20]}
    server.behaviour = Behaviour(body=lambda path: tile_of(path) if path in good else PORTAL)
    with pytest.raises(ImagerySourceError, match="answered 30 times in a row without a tile"):
        read_all(server, clock, places, garbage_in_a_row=30, connections=1)
    assert server.requests.total() == 50


def test_other_pictures_and_those_of_twice_the_size_become_tiles(
    server: TileServer, clock: ManualClock
) -> None:
    places = block(2)
    pictures = [picture(1, "PNG"), picture(2, "WEBP"), picture(3, size=512), picture(4, "PNG", opaque=0.0)]
    bodies = {path_of(place): content for place, content in zip(places, pictures, strict=True)}
    server.behaviour = Behaviour(body=bodies.__getitem__)
    read = read_all(server, clock, places)
    assert [one.encoded_from for one in read if isinstance(one, ImageryTile)] == [
        "PNG",
        "WebP",
        "JPEG of 512 pixels",
    ]
    assert read[3] is None


def test_a_server_that_throttles_without_a_time_stops_every_request(
    server: TileServer, clock: ManualClock
) -> None:
    server.behaviour = Behaviour(fail_every=4, status=429)
    places = block(4)
    assert are_the_tiles(read_all(server, clock, places, connections=1), places)
    assert clock.monotonic() > 0.5 * (server.requests.total() - len(places))


def test_a_pause_that_comes_while_a_request_waits_holds_it_and_keeps_the_rate_behind_it() -> None:
    class PausingClock(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() < 1.0:
                pace.pause_everybody(100.0)

    clock = PausingClock(START)
    pace = Pace(FetchLimits(requests_per_second=1.0), clock)
    starts = []
    for _ in range(4):
        assert pace.wait_for_start()
        starts.append(clock.monotonic())
    assert starts[0] == 0.0
    assert starts[1] >= 100.0
    assert all(later - earlier >= 0.999 for earlier, later in itertools.pairwise(starts))


def test_an_answer_that_breaks_off_is_asked_for_again(server: TileServer, clock: ManualClock) -> None:
    server.behaviour = Behaviour(cut_short=lambda number: number % 4 == 0)
    places = block(4)
    assert are_the_tiles(read_all(server, clock, places), places)


def test_a_tile_that_always_fails_is_given_up_and_the_others_come(
    server: TileServer, clock: ManualClock
) -> None:
    places = block(4)
    bad = path_of(places[3])
    server.behaviour = Behaviour(is_missing=bad.__eq__, missing_status=500)
    read = read_all(server, clock, places, max_attempts=3, connections=2)
    (error,) = [one for one in read if isinstance(one, ImageryPlaceError)]
    assert error.place == places[3]
    assert error.kind == "status 500"
    assert server.requests[bad] >= 3


def test_the_last_tile_of_a_run_may_fail_always_without_ending_the_run(
    server: TileServer, clock: ManualClock
) -> None:
    places = block(3)
    bad = path_of(places[-1])
    server.behaviour = Behaviour(is_missing=bad.__eq__, missing_status=500)
    read = read_all(server, clock, places, connections=1)
    assert [type(one) for one in read] == [ImageryTile] * 8 + [ImageryPlaceError]
    assert server.requests[bad] == 8 + 1
    assert server.requests.total() == 8 + 8 + 1 + 1
