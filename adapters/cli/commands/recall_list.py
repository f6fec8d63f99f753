"""`aerotile recall list`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE
from ..command import command
from ..errors import JobFailedError
from ..output import json_option, write_json, write_line
from ..session import Session
from .recall import list_facts, print_list


@command("aerotile recall list", "aerotile recall list withdrawn-7.json --json", name="list")
@click.argument("file", required=False, type=EXISTING_FILE)
@json_option
@click.pass_obj
def list_(session: Session, file: Path | None, as_json: bool) -> None:
    """Show the list in force, or the list in FILE, and whose signatures it has.

    Of the list in force the tiles that it names are counted in the store and in the base in use. Exit code 1
    for a FILE that has not as many signatures as are needed.
    """
    from ...recall_lists.lists import RECALL_LIST_FILES, look_into_list
    from ...signatures import Trust, who_signed

    settings = session.config.recall
    trust = Trust(settings.public_keys, settings.threshold)
    if file is not None:
        found, trusted = look_into_list(RECALL_LIST_FILES.read(file), trust, str(file))
        print_list(list_facts(found, threshold=trust.threshold, trusted=trusted), as_json=as_json)
        if not trusted:
            raise JobFailedError(
                f"{file} {who_signed(found.signers, trust)}",
                remedy="sign it with aerotile recall sign, or pin the right keys in recall.public_keys",
            )
        return
    with session.existing_runtime("base") as runtime:
        in_force = runtime.recall_lists.read()
        counts = {} if in_force is None else runtime.count_recalled(in_force.recalls)
    if in_force is not None:
        facts = list_facts(in_force, threshold=trust.threshold, trusted=True)
        print_list(facts | counts, as_json=as_json)
    elif as_json:
        write_json({"number": None})
    else:
        write_line("no recall list is in force")
