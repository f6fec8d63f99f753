"""`aerotile base keys make`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import NUMBER, WholeRange
from ..command import command
from ..errors import BadInputError
from ..new_files import check_new_file
from ..output import json_option
from ..session import Session
from .base_keys import list_facts, print_list


@command('aerotile base keys make keys-2.json --number 2 --threshold 1 --key "$(cat new.key.pub)"')
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--number", required=True, type=NUMBER, help="Above those of all lists before.")
@click.option(
    "--threshold", required=True, type=WholeRange(1, 100), help="How many of the keys must sign a base."
)
@click.option(
    "--key",
    "public_keys",
    required=True,
    multiple=True,
    metavar="PUBLIC_KEY",
    help="A public key as keygen prints it; may be given again.",
)
@json_option
@click.pass_obj
def make(
    session: Session,
    file: Path,
    number: int,
    threshold: int,
    public_keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write the list NUMBER to FILE, which is new, without a signature.

    A list replaces the keys before as a whole: name again each one that stays.
    """
    from ...sealed_base.key_list import KeyList
    from ...sealed_base.key_lists import KEY_LIST_FILES, look_into_key_list
    from ...signatures import Trust

    check_new_file(file, session.config)
    try:
        keys = KeyList(number=number, public_keys=tuple(sorted(public_keys)), threshold=threshold)
    except ValueError as error:
        raise BadInputError(str(error), remedy="correct it; no file was written") from error
    KEY_LIST_FILES.write(file, keys.encode())
    print_list(
        list_facts(look_into_key_list(KEY_LIST_FILES.read(file), Trust((), 1), str(file))), as_json=as_json
    )
