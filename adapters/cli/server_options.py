"""Options of commands that fetch from servers of tiles: the token, the rate, the connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from .arguments import EXISTING_FILE, WholeRange, decimal
from .errors import BadInputError
from .option_groups import gather

if TYPE_CHECKING:
    from ..tile_services.open_service import ServiceTerms
    from .session import Session


def _rate(text: str) -> float:
    rate = decimal(text)
    if rate <= 0:
        raise click.BadParameter(f"a rate is a number of requests a second above 0, got {text!r}")
    return rate


_token_file = click.option(
    "--token-file",
    type=EXISTING_FILE,
    metavar="FILE",
    help="File whose one line is a server's token, sent as a bearer token or for {token} in its address.",
)
_requests_per_second = click.option(
    "--rate",
    type=_rate,
    metavar="N",
    help="Requests a second to a server, at most.  [default: 20]",
)
_connections = click.option(
    "--connections",
    type=WholeRange(1, 64),
    metavar="N",
    help="Connections to a server, at most.  [default: 4]",
)


@attrs.frozen
class ServerOptions:
    """How servers of tiles are asked."""

    token_file: Path | None
    rate: float | None
    connections: int | None

    def read(
        self, session: Session, names: Sequence[str], levels: Sequence[int] | None
    ) -> ServiceTerms | None:
        """How the servers among the sources are asked; None where there are none.

        Raises `BadInputError` for options without a server, for a token and two servers, and for a server
        without zooms; `ConfigurationError` for a file that holds no token.
        """
        from ...domain.policies.tile_fetching import FetchLimits
        from ..composition.imagery_parts import server_of, service_terms
        from ..config.upload_token import read_token_file

        servers = {server for server in map(server_of, names) if server is not None}
        given = {"--token-file": self.token_file, "--rate": self.rate, "--connections": self.connections}
        if not servers:
            if needless := [option for option, value in given.items() if value is not None]:
                raise BadInputError(
                    f"{needless[0]} is for servers, and no source is an address", remedy="leave it out"
                )
            return None
        if self.token_file is not None and len(servers) > 1:
            raise BadInputError(
                "--token-file gives one token, and the sources lie on two servers",
                remedy="provision from one after the other",
            )
        if levels is None:
            raise BadInputError(
                "a server does not say which zooms its imagery was made for", remedy="give --zoom"
            )
        file = self.token_file
        token = None if file is None else read_token_file(file, f"--token-file {file}")
        if token is not None:
            session.hide(token)
        limits = FetchLimits()
        return service_terms(
            token,
            FetchLimits(
                requests_per_second=self.rate or limits.requests_per_second,
                connections=self.connections or limits.connections,
            ),
        )


def add_server_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The three options, as the parameter `server`."""
    return _token_file(_requests_per_second(_connections(gather("server", ServerOptions)(function))))
