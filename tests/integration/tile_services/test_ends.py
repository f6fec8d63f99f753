"""What ends requests to a server of tiles: a stop, a time, a bound. Waits pass on the clock of a test."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest
from service_reads import PATH, START, block, path_of, source_at, source_of
from tile_server import Behaviour, TileServer, tile_of
from waiting import until

from aerotile.adapters.memory.clock import ManualClock
from aerotile.adapters.tile_services.address import TileAddress
from aerotile.adapters.tile_services.exchange import Exchange
from aerotile.domain.errors import ImagerySourceError
from aerotile.domain.policies.tile_fetching import FetchLimits


def test_a_stop_from_another_thread_ends_a_read_that_waits(server: TileServer) -> None:
    server.behaviour = Behaviour(fail_every=1, status=503)

    class StoppingClock(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            source.stop()

    source = source_at(server, StoppingClock(START))
    with source, pytest.raises(ImagerySourceError, match="was closed"):
        list(source.read(block(4)))
    assert server.requests.total() <= 4


def test_a_stop_ends_a_request_that_no_answer_comes_to(server: TileServer, clock: ManualClock) -> None:
    released = threading.Event()
    server.behaviour = Behaviour(held=released)
    try:
        with source_at(server, clock) as source:
            stopping = threading.Thread(
                target=lambda: (until(lambda: server.requests.total() > 0), source.stop())
            )
            stopping.start()
            with pytest.raises(ImagerySourceError, match="was closed"):
                list(source.read(block(1)))
            stopping.join()
        assert server.requests.total() == 1
    finally:
        released.set()


def test_no_request_begins_behind_the_end_of_the_others(server: TileServer, clock: ManualClock) -> None:
    address = TileAddress(server.address + PATH)
    exchange = Exchange(address, connections=1, timeout_s=30.0, clock=clock, user_agent="aerotile/test")
    try:
        exchange.end_requests()
        assert exchange.get(address.url(block(1)[0])).problem == "ended by this program"
        assert not server.requests
    finally:
        exchange.close()


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(clock: ManualClock) -> None:
    """Each byte ends well within the timeout of a socket; the answer as a whole never ends."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ended.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=drip, args=(listening.accept()[0],), daemon=True).start()

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        address = TileAddress(f"http://127.0.0.1:{listening.getsockname()[1]}" + PATH)
        limits = FetchLimits(first_answer_s=5.0)
        try:
            with (
                source_of(address, clock, limits=limits, request_timeout_s=0.3) as source,
                pytest.raises(ImagerySourceError, match="does not answer: no answer in time"),
            ):
                list(source.read(block(1)))
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            serving.join()


def test_a_server_that_never_finishes_is_not_waited_for(server: TileServer, clock: ManualClock) -> None:
    released = threading.Event()
    server.behaviour = Behaviour(held=released)
    address = TileAddress(server.address + PATH)
    limits = FetchLimits(first_answer_s=5.0)
    with (
        source_of(address, clock, limits=limits, request_timeout_s=0.2) as source,
        pytest.raises(ImagerySourceError, match="no answer in time"),
    ):
        list(source.read(block(1)))
    released.set()


def test_what_is_asked_for_is_bounded_whatever_is_read(server: TileServer, clock: ManualClock) -> None:
    released = threading.Event()
    places = block(16)

    def body(path: str) -> bytes:
        if path != path_of(places[0]):
            released.wait()
        return tile_of(path)

    server.behaviour = Behaviour(body=body)
    with source_at(server, clock, connections=2) as source:
        reading = source.read(places)
        next(reading)
        reading.close()
        released.set()
    assert server.requests.total() <= 3
