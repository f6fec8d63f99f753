"""Options of commands that fetch from servers of tiles: the token, the rate, the connections."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .arguments import EXISTING_FILE
from .errors import BadInputError

if TYPE_CHECKING:
    from ..tile_services.open_service import ServiceTerms
    from .session import Session


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
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
    type=click.IntRange(1, 64),
    metavar="N",
    help="Connections to a server, at most.  [default: 4]",
)


def server_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The three options, as the parameters `token_file`, `rate` and `connections`."""
    return _token_file(_requests_per_second(_connections(function)))


def chosen_service(
    session: Session,
    names: Sequence[str],
    levels: Sequence[int] | None,
    *,
    token_file: Path | None,
    rate: float | None,
    connections: int | None,
) -> ServiceTerms | None:
    """How the servers among the sources are asked; None where there are none.

    Raises `BadInputError` for options without a server, for a token and two servers, and for a server without
    zooms; `ConfigurationError` for a file that holds no token.
    """
    from ...domain.policies.tile_fetching import FetchLimits
    from ..composition.imagery_parts import server_of, service_terms
    from ..config.upload_token import read_token_file

    servers = {server for server in map(server_of, names) if server is not None}
    given = {"--token-file": token_file, "--rate": rate, "--connections": connections}
    if not servers:
        if needless := [option for option, value in given.items() if value is not None]:
            raise BadInputError(
                f"{needless[0]} is for servers, and no source is an address", remedy="leave it out"
            )
        return None
    if token_file is not None and len(servers) > 1:
        raise BadInputError(
            "--token-file gives one token, and the sources lie on two servers",
            remedy="provision from one after the other",
        )
    if levels is None:
        raise BadInputError(
            "a server does not say which zooms its imagery was made for", remedy="give --zoom"
        )
    token = None if token_file is None else read_token_file(token_file, f"--token-file {token_file}")
    if token is not None:
        session.hide(token)
    limits = FetchLimits()
    return service_terms(
        token,
        FetchLimits(
            requests_per_second=rate or limits.requests_per_second,
            connections=connections or limits.connections,
        ),
    )
