"""The web server in a thread of this process: how it starts, waits, and ends."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import httpx
import pytest
from reserved_ports import reserved_port
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from aerotile.adapters import web_server
from aerotile.adapters.web_server import WebServer
from aerotile.domain.errors import ConfigurationError

APPLICATION = Starlette(routes=[Route("/", lambda _: PlainTextResponse("yes"))])


def server_on(port: int = 0, host: str = "127.0.0.1") -> WebServer:
    return WebServer(APPLICATION, host=host, port=port)


@pytest.fixture
def port() -> Iterator[int]:
    """That one server after another listens on."""
    reserved, port = reserved_port()
    with reserved:
        yield port


def is_running() -> bool:
    return "web-server" in [thread.name for thread in threading.enumerate()]


def wait_interrupted(server: WebServer) -> None:
    """Wait for the server until Ctrl-C."""
    threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    server.wait()


def test_an_interrupted_wait_leaves_a_server_that_ends_before_its_port_is_given_up(port: int) -> None:
    server = server_on(port)
    server.start()
    with closing(server):
        assert httpx.get(server.url, trust_env=False, timeout=60).text == "yes"
        with pytest.raises(KeyboardInterrupt):
            wait_interrupted(server)
        assert is_running()
    assert not is_running()
    with closing(server_on(port)) as again:
        again.start()
        assert httpx.get(again.url, trust_env=False, timeout=60).text == "yes"


def test_another_thread_ends_the_wait() -> None:
    server = server_on()
    server.start()
    threading.Timer(0.1, server.close).start()
    server.wait()


def test_a_server_that_never_started_gives_up_its_port(port: int) -> None:
    server = server_on(port)
    server.close()
    with closing(server_on(port)):
        pass


def test_a_port_that_is_taken_and_an_address_that_is_none_are_named() -> None:
    with closing(server_on()) as server, pytest.raises(ConfigurationError, match=f"port {server.port}: "):
        server_on(server.port)
    for host in ("256.0.0.1", "no such host", "\udcff"):
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            server_on(host=host)


def connected(server: WebServer) -> socket.socket:
    return socket.create_connection((server.address, server.port), timeout=60)


def test_whoever_opens_connections_and_sends_nothing_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_server, "_MOST_CONNECTIONS", 4)
    with ExitStack() as stack:
        server = stack.enter_context(closing(server_on()))
        server.start()
        client = stack.enter_context(httpx.Client(base_url=server.url, trust_env=False))
        silent = [stack.enter_context(connected(server)) for _ in range(6)]
        silent[-1].sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert [client.get("/").text for _ in range(2)] == ["yes"] * 2
        assert [each.recv(1) for each in silent[:3]] == [b""] * 3  # the longest first
        silent[-1].sendall(b"x\r\n\r\n")
        assert silent[-1].recv(15) == b"HTTP/1.1 200 OK"


def test_a_head_that_comes_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "_KEEP_ALIVE_S", 1)
    with closing(server_on()) as server:
        server.start()
        for first in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
            with connected(server) as connection:
                connection.sendall(first)
                if first:
                    assert connection.recv(15) == b"HTTP/1.1 200 OK"
                while not is_closed(connection):
                    with suppress(ConnectionError):
                        connection.sendall(b"G")


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it; waits a little."""
    connection.settimeout(0.05)
    try:
        return connection.recv(4_096) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
