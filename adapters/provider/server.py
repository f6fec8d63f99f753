"""The reference provider as a running server, in a thread of this process."""

from __future__ import annotations

from pathlib import Path

from ..config.secret import Secret
from ..web_server import WebServer
from .application import ProviderApplication
from .behaviour import Behaviour, FaultTarget
from .connections import Connections
from .shelf import Shelf
from .tile_folder import TileFolder
from .votes import VoteBook


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
            self._server = WebServer(
                self._application.starlette(),
                host=host,
                port=port,
                protocol=connections.protocol(),
                certificate=certificate,
                private_key=private_key,
            )
        except BaseException:
            self._shelf.close()
            raise

    @property
    def url(self) -> str:
        """The address that it answers at, without a slash at the end."""
        return self._server.url

    @property
    def port(self) -> int:
        """The bound port."""
        return self._server.port

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
        try:
            self._server.start()
        except BaseException:
            self._shelf.close()
            raise

    def wait(self) -> None:
        """Wait until the server fails or another thread closes it."""
        self._server.wait()

    def close(self) -> None:
        """Finish running requests, within two seconds, and release port and folder."""
        self._server.close()
        self._shelf.close()

    def __enter__(self) -> ReferenceProvider:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
