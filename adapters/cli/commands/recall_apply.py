"""`aerotile recall apply`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE
from ..command import command
from ..output import json_option
from ..session import Session
from .recall import list_facts, print_list


@command("aerotile recall apply /media/stick/withdrawn-7.json")
@click.argument("file", type=EXISTING_FILE)
@json_option
@click.pass_obj
def apply(session: Session, file: Path, as_json: bool) -> None:
    """Put the list in FILE in force here, on the ground or on the aircraft, also in flight.

    Refused unless enough of the keys in recall.public_keys signed it, when it is older than the list in
    force, and when it has that one's number and another content. Running programs take it over at their next
    search, and within a second where they search nothing. It stays in force through restarts and rollbacks of
    the base.
    """
    from ...recall_lists.lists import RECALL_LIST_FILES

    with session.existing_runtime("base") as runtime:
        found, is_new = runtime.recall_lists.apply(RECALL_LIST_FILES.read(file), str(file))
    facts = list_facts(found, threshold=session.config.recall.threshold, trusted=True)
    print_list({"applied": is_new} | facts, as_json=as_json)
