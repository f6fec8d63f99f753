"""`aerotile base keys apply`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE
from ..command import command
from ..output import json_option
from ..session import Session
from .base_keys import list_facts, print_list


@command("aerotile base keys apply /media/stick/keys-2.json")
@click.argument("file", type=EXISTING_FILE)
@click.option(
    "--force",
    is_flag=True,
    help="Also where the base in use lacks their signatures: it can't be opened then.",
)
@json_option
@click.pass_obj
def apply(session: Session, file: Path, force: bool, as_json: bool) -> None:
    """Let the keys of the list in FILE count here in place of those before.

    Refused unless as many of the keys before signed it as their threshold asks for, when it is older than the
    list in force, when it has that one's number and another content, and when the base in use would be
    refused from then on. Recall lists have keys of their own, which stay.
    """
    from ...sealed_base.key_lists import KEY_LIST_FILES

    with session.existing_runtime("base") as runtime:
        found, is_new = runtime.apply_key_list(KEY_LIST_FILES.read(file), str(file), force=force)
    print_list({"applied": is_new} | list_facts(found), as_json=as_json)
