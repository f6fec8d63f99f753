"""`aerotile base switch`."""

from __future__ import annotations

import click

from ..arguments import generation_name
from ..command import command
from ..output import json_option
from ..session import Session
from .base import chosen_generation, print_opened


@command("aerotile base switch", "aerotile base switch 000007")
@click.argument("generation", type=generation_name, required=False)
@json_option
@click.pass_obj
def switch(session: Session, generation: str | None, as_json: bool) -> None:
    """Make GENERATION, by default the newest, the one in use, by one rename.

    Refused unless enough pinned keys signed it. One that is older than the last in use must be named; one
    with the number of the last in use and other content is refused. Programs that read the generation before
    go on with it until they open the base again.
    """
    with session.existing_runtime("base") as runtime:
        name = None if generation is None else chosen_generation(runtime, generation)
        print_opened(runtime, runtime.switch_base(name), as_json=as_json)
