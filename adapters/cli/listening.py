"""Options of commands that answer requests: the address, the port, the file that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ...domain.errors import RuntimeNotAvailableError
from ..files.atomic_file import atomic_file
from .arguments import WholeRange

_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_port_file = click.option(
    "--port-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the port there once requests are answered.",
)


def listening_options(*, port: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The three options, as the parameters `host`, `port` (default `port`) and `port_file`."""
    port_option = click.option(
        "--port", type=WholeRange(0, 65535), default=port, show_default=True, help="0: any free port."
    )
    return lambda function: _host(port_option(_port_file(function)))


def write_port(file: Path | None, port: int) -> None:
    """Write the port into the file of `--port-file`, if it is given. Raises `OSError`."""
    if file is not None:
        with atomic_file(file, 0o644, durable=False) as stream:
            stream.write(f"{port}\n".encode("ascii"))


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Say of a missing module that `what` needs it, and which extra of the package brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise RuntimeNotAvailableError(
            f"{what} needs {error.name}, which is not installed",
            remedy=f'install it: pip install "aerotile[{extra}]"',
        ) from error
