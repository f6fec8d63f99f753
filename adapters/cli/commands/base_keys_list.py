"""`aerotile base keys list`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE
from ..command import command
from ..output import json_option
from ..session import Session
from .base_keys import list_facts, print_list


@command("aerotile base keys list", "aerotile base keys list keys-2.json", name="list")
@click.argument("file", required=False, type=EXISTING_FILE)
@json_option
@click.pass_obj
def list_(session: Session, file: Path | None, as_json: bool) -> None:
    """Show the keys whose signatures count here, or the list in FILE and whether it may be applied here.

    Number 0: no list was applied, the keys of base.public_keys count. Exit code 1 for a FILE that would be
    refused.
    """
    from ...sealed_base.key_lists import KEY_LIST_FILES

    with session.existing_runtime("base") as runtime:
        if file is not None:
            print_list(
                list_facts(runtime.key_lists.open(KEY_LIST_FILES.read(file), str(file))), as_json=as_json
            )
            return
        found, trust = runtime.key_lists.in_force(), runtime.base_trust
    if found is None:
        none = {"number": 0, "public_keys": list(trust.public_keys), "threshold": trust.threshold}
        print_list(none, as_json=as_json)
    else:
        print_list(list_facts(found), as_json=as_json)
