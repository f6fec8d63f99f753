"""`aerotile base info`."""

from __future__ import annotations

import click

from ..arguments import generation_name
from ..command import command
from ..output import json_option
from ..session import Session
from .base import chosen_generation, print_opened


@command("aerotile base info", "aerotile base info 000007 --json")
@click.argument("generation", type=generation_name, required=False)
@json_option
@click.pass_obj
def info(session: Session, generation: str | None, as_json: bool) -> None:
    """Show the manifest of GENERATION, by default the one in use, and which pinned keys signed it."""
    with session.existing_runtime("base") as runtime:
        name = chosen_generation(runtime, generation)
        print_opened(runtime, runtime.base_generations.manifest(name, runtime.base_trust), as_json=as_json)
