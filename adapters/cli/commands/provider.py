"""`aerotile provider`."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import attrs
import click

from ...files.atomic_file import atomic_file
from ...files.durable_folder import make_folder_durably
from ..arguments import EXISTING_FILE
from ..command import command
from ..errors import BadInputError
from ..listening import listening_options, needs_extra, write_port
from ..option_groups import gather
from ..output import flush_output, json_option, write_json_line, write_line

if TYPE_CHECKING:
    from ...config.secret import Secret
    from ...provider.behaviour import Behaviour

TOKEN_VARIABLE = "REFERENCE_PROVIDER_TOKEN"
_TOKEN_BYTES = 32
_REFUSED = "the operator of this provider refuses it"


@attrs.frozen
class _BehaviourOptions:
    """How the provider misbehaves."""

    behaviour_file: Path | None
    faults: tuple[str, ...]
    rejected: tuple[UUID, ...]
    verdict: str | None

    def read(self) -> Behaviour:
        """The behaviour of the file, with the options added to it."""
        from ....domain.values.tiles import VotingStatus
        from ...provider.behaviour import Behaviour, parse_fault, read_behaviour

        behaviour = Behaviour() if self.behaviour_file is None else read_behaviour(self.behaviour_file)
        return attrs.evolve(
            behaviour,
            faults=(*map(parse_fault, self.faults), *behaviour.faults),
            refused={**behaviour.refused, **dict.fromkeys(self.rejected, _REFUSED)},
            verdict=behaviour.verdict if self.verdict is None else VotingStatus(self.verdict),
        )


@command(
    "aerotile provider --folder provider-data --port 8080",
    "aerotile provider --folder provider-data --port 0 --port-file port.txt \\",
    "    --fault status,status=503,every=3,retry_after_s=2 --verdict trusted",
    more=f"""
The token is read from the variable {TOKEN_VARIABLE} or from --token-file; otherwise it is made and written
to the file "token" of the folder.
""",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the tiles and votes; created if missing.",
)
@listening_options(port=8080)
@click.option("--token-file", type=EXISTING_FILE, help="File whose one line is the token.")
@click.option("--certificate", type=EXISTING_FILE, help="PEM with the chain; then it speaks HTTPS.")
@click.option("--private-key", type=EXISTING_FILE, help="PEM, when it is not in the certificate's file.")
@click.option("--behaviour", "behaviour_file", type=EXISTING_FILE, help="JSON file of bad behaviour.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[,NAME=VALUE...]",
    help="A fault of the provider; may be given again.",
)
@click.option(
    "--reject",
    "rejected",
    type=click.UUID,
    multiple=True,
    metavar="TILE_UUID",
    help="Always reject this tile.",
)
@click.option(
    "--verdict", type=click.Choice(["trusted", "rejected"]), help="The vote that each stored tile gets."
)
@json_option
@gather("behaviour", _BehaviourOptions)
def provider(
    folder: Path,
    host: str,
    port: int,
    port_file: Path | None,
    token_file: Path | None,
    certificate: Path | None,
    private_key: Path | None,
    behaviour: _BehaviourOptions,
    as_json: bool,
) -> None:
    """Run a satellite provider for development: it takes tiles over the upload protocol into a folder.

    It answers until it is stopped with Ctrl-C or SIGTERM. docs/upload.md explains the protocol and what a
    behaviour file may hold.
    """
    with needs_extra("the reference provider", "provider"):
        from ...provider.server import ReferenceProvider

    token, kept_in = _token(folder, token_file)
    with ReferenceProvider(
        folder,
        token,
        behaviour=behaviour.read(),
        host=host,
        port=port,
        certificate=certificate,
        private_key=private_key,
    ) as running:
        write_port(port_file, running.port)
        if as_json:
            write_json_line({"url": running.url, "folder": str(folder), "token": kept_in})
        else:
            write_line(f"{running.url} takes tiles into {folder}; token: {kept_in}")
        flush_output()
        with suppress(KeyboardInterrupt):  # the way to stop it, not a failure
            running.wait()


def _token(folder: Path, file: Path | None) -> tuple[Secret, str]:
    """The token that requests must bear, and where an operator finds it."""
    from ...config.secret import Secret

    text = os.environ.get(TOKEN_VARIABLE)
    if text is not None and file is None:
        return Secret(_checked(text, TOKEN_VARIABLE)), f"variable {TOKEN_VARIABLE}"
    if file is None:
        file = folder / "token"
        if not file.exists():
            write_token(file)
    return Secret(_checked(file.read_text(encoding="utf-8", errors="replace"), str(file))), f"file {file}"


def write_token(file: Path) -> None:
    """Choose a token and write it, durably, into a file that is missing. Raises `OSError`."""
    make_folder_durably(file.parent, 0o755)
    with atomic_file(file, 0o600, is_new=True) as stream:
        stream.write(secrets.token_urlsafe(_TOKEN_BYTES).encode("ascii") + b"\n")


def _checked(text: str, origin: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or any(not " " < character < "\x7f" for character in token):
        raise BadInputError(
            f"{origin} holds no token", remedy="a token is one line of visible ASCII characters"
        )
    return token
