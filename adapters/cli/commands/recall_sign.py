"""`aerotile recall sign`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE
from ..command import command
from ..output import json_option
from ..session import Session
from .recall import list_facts, print_list


@command("aerotile recall sign withdrawn-7.json --key recall.key")
@click.argument("file", type=EXISTING_FILE)
@click.option("--key", required=True, type=EXISTING_FILE, help="The private key, as base keygen wrote it.")
@json_option
@click.pass_obj
def sign(session: Session, file: Path, key: Path, as_json: bool) -> None:
    """Add a signature to the list in FILE; one for each key, and as many as recall.threshold asks for.

    Not with a key that signs bases: an aircraft refuses a configuration that pins one key for both.
    """
    from ...recall_lists.lists import RECALL_LIST_FILES, look_into_list
    from ...signatures import Trust

    RECALL_LIST_FILES.sign(file, key)
    settings = session.config.recall
    trust = Trust(settings.public_keys, settings.threshold)
    found, trusted = look_into_list(RECALL_LIST_FILES.read(file), trust, str(file))
    print_list(list_facts(found, threshold=trust.threshold, trusted=trusted), as_json=as_json)
