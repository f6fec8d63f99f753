"""`aerotile base keys sign`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE
from ..command import command
from ..output import json_option
from ..session import Session
from .base_keys import list_facts, print_list


@command("aerotile base keys sign keys-2.json --key release.key")
@click.argument("file", type=EXISTING_FILE)
@click.option("--key", required=True, type=EXISTING_FILE, help="The private key, as keygen wrote it.")
@json_option
@click.pass_obj
def sign(session: Session, file: Path, key: Path, as_json: bool) -> None:
    """Add a signature to the list in FILE: of as many of the keys before as their threshold asks for.

    `signed_by` names those of base.public_keys that signed it.
    """
    from ...sealed_base.key_lists import KEY_LIST_FILES, look_into_key_list
    from ...signatures import Trust

    KEY_LIST_FILES.sign(file, key)
    trust = Trust(session.config.base.public_keys, session.config.base.threshold)
    print_list(list_facts(look_into_key_list(KEY_LIST_FILES.read(file), trust, str(file))), as_json=as_json)
