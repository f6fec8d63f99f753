"""`aerotile base keygen`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import command
from ..errors import BadInputError
from ..new_files import check_new_file
from ..output import json_option, write_json, write_line
from ..session import Session


@command("aerotile base keygen release.key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@click.pass_obj
def keygen(session: Session, file: Path, as_json: bool) -> None:
    """Make an Ed25519 key pair: the private key in FILE, the public one in FILE.pub and on standard output.

    Pin the public key in base.public_keys of each aircraft, or in recall.public_keys: never in both. The
    private key is not encrypted and only its owner may read it: keep it on the ground.
    """
    from ...signatures import write_new_key

    check_new_file(file, session.config)
    try:
        public_key = write_new_key(file)
    except FileExistsError as error:
        raise BadInputError(f"{error.filename} is there already", remedy="name a new file") from error
    if as_json:
        write_json({"private_key_file": str(file), "public_key": public_key})
    else:
        write_line(public_key)
