"""The reference provider as a running server, in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import uvicorn

from ...domain.errors import ConfigurationError, StoreUnavailableError
from ..config.secret import Secret
from .application import ProviderApplication
from .behaviour import Behaviour, FaultTarget
from .connections import Connections
from .shelf import Shelf
from .tile_folder import TileFolder
from .votes import VoteBook

_KEEP_ALIVE_S = 75
_GRACE_S = 2
_START_LIMIT_S = 30.0
_START_STEP_S = 0.005
_WAIT_STEP_S = 1.0


class ReferenceProvider:
    """A provider on `folder`, from `start` to `close`; also a context manager.

    A tile that was answered with `accepted` is durable. One process at a time uses a folder.
    """

    def __init__(
        self,
        folder: Path,
        token: Secret,
        *,
        behaviour: Behaviour | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
        private_key: Path | None = None,
    ) -> None:
        """Open the folder and bind the port (0: any free port), without answering yet.

        With `certificate` (PEM, with its chain) it serves HTTPS; the key may be in the same file. Raises
        `ConfigurationError` (address, certificate) or `StoreUnavailableError` (folder).
        """
        connections = Connections()
        self._shelf = Shelf(folder)
        try:
            self._application = ProviderApplication(self._shelf, token, behaviour or Behaviour(), connections)
            config = uvicorn.Config(
                self._application.starlette(),
                http=connections.protocol(),
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_certfile=certificate,
                ssl_keyfile=private_key,
            )
            _load(config, certificate)
            self._socket = _listen(host, port)
        except BaseException:
            self._shelf.close()
            raise
        self._address = self._socket.getsockname()[:2]
        self._scheme = "http" if certificate is None else "https"
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="reference-provider", daemon=True)

    @property
    def url(self) -> str:
        """The address that it answers at, without a slash at the end."""
        host, port = self._address
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._address[1])

    @property
    def behaviour(self) -> Behaviour:
        """Its faults; new ones take effect with the next request, which is number 1 again."""
        return self._application.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._application.behaviour = behaviour

    def requests(self, target: FaultTarget = FaultTarget.TILES) -> int:
        """Number of requests since the behaviour was set."""
        return self._application.requests(target)

    @property
    def tiles(self) -> TileFolder:
        """The stored tiles."""
        return self._shelf.tiles

    @property
    def votes(self) -> VoteBook:
        """The votes; more may be given at any time."""
        return self._shelf.votes

    def start(self) -> None:
        """Begin to answer requests. Raises `StoreUnavailableError` when the server can't start."""
        self._thread.start()
        deadline = time.monotonic() + _START_LIMIT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.close()
                raise StoreUnavailableError(f"the provider at {self.url} did not start")
            time.sleep(_START_STEP_S)

    def wait(self) -> None:
        """Wait until the server fails or another thread closes it."""
        while self._thread.is_alive():
            self._thread.join(timeout=_WAIT_STEP_S)  # in steps, so that a signal is handled in between

    def close(self) -> None:
        """Finish running requests, within two seconds, and release port and folder."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()
        self._shelf.close()

    def __enter__(self) -> ReferenceProvider:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


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
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"cannot listen on {host}: {error}", remedy="correct --host") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            remedy="choose another port, or 0 for any that is free",
        ) from error
    return listening
