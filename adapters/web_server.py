"""A running web server in a thread of this process, over uvicorn."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..domain.errors import ConfigurationError, StoreUnavailableError

_KEEP_ALIVE_S = 75
_GRACE_S = 2
_MOST_ACCEPTED = 64
"""Connections at a time, before those that are too many are closed."""
_MOST_CONNECTIONS = 256
"""Of the 1,024 files that a process usually may open. Where none is left asyncio logs without end."""
_START_LIMIT_S = 30.0
_START_STEP_S = 0.005
_WAIT_STEP_S = 1.0


class PatientProtocol(H11Protocol):
    """A connection that is closed when the head of a request takes longer than the time between requests.

    Where there are too many, the one that has been waiting longest makes room, so that whoever opens
    connections and sends nothing keeps nobody out.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Wait for the first request."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        others = [each for each in self.connections if isinstance(each, H11Protocol)]
        open_ones = [each for each in others if not each.transport.is_closing()]
        if len(open_ones) > _MOST_CONNECTIONS:
            waiting = [(task.when(), each) for each in open_ones if (task := each.timeout_keep_alive_task)]
            min(waiting, key=itemgetter(0))[1].transport.abort()  # this connection itself, if no other

    def data_received(self, data: bytes) -> None:
        """Go on waiting where this is a part of a request's head."""
        task = self.timeout_keep_alive_task
        self.timeout_keep_alive_task = None  # kept from uvicorn, which would give each byte more time
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self.timeout_keep_alive_task = task
        elif task is not None:
            task.cancel()


class WebServer:
    """Serves an ASGI application at a bound port, from `start` to `close`."""

    def __init__(
        self,
        application: Any,
        *,
        host: str,
        port: int,
        protocol: type[H11Protocol] = PatientProtocol,
        certificate: Path | None = None,
        private_key: Path | None = None,
    ) -> None:
        """Bind the port (0: any free port), without answering yet.

        `protocol` is uvicorn's for a connection. With `certificate` (PEM, with its chain) the server speaks
        HTTPS; the key may be in the same file. Raises `ConfigurationError` for an address or a certificate
        that can't be used.
        """
        config = uvicorn.Config(
            application,
            http=protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_MOST_ACCEPTED,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
        )
        _load(config, certificate)
        self._socket = _listen(host, port)
        self._address = self._socket.getsockname()[:2]
        self._scheme = "http" if certificate is None else "https"
        self._server = uvicorn.Server(config)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="web-server", daemon=True)

    @property
    def url(self) -> str:
        """The address that it answers at, without a slash at the end."""
        host, port = self._address
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def address(self) -> str:
        """The bound address."""
        return str(self._address[0])

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._address[1])

    def start(self) -> None:
        """Begin to answer requests. Raises `StoreUnavailableError` when the server can't start."""
        self._thread.start()
        deadline = time.monotonic() + _START_LIMIT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.close()
                raise StoreUnavailableError(f"the server at {self.url} did not start")
            time.sleep(_START_STEP_S)

    def wait(self) -> None:
        """Wait until the server fails or another thread closes it."""
        # In steps, so that a signal is handled in between. Before CPython 3.13 a `join` that a signal
        # interrupts leaves a running thread marked as ended.
        while not self._ended.wait(_WAIT_STEP_S):
            pass

    def close(self) -> None:
        """Finish running requests, within two seconds, and release the port."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ended.set()


def _load(config: uvicorn.Config, certificate: Path | None) -> None:
    """Read the certificate on the caller's thread, where an error can be raised."""
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"cannot use the certificate {certificate} and its key: {error}",
            remedy="both must be PEM and belong together",
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigurationError(
            f"cannot listen on {host}: {getattr(error, 'strerror', None) or error}", remedy="correct --host"
        ) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            remedy="choose another port, or 0 for any that is free",
        ) from error
    return listening
