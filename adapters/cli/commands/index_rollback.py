"""`aerotile index rollback`."""

from __future__ import annotations

import click

from ..arguments import generation_name
from ..command import command
from ..output import json_option
from ..session import Session
from .index import print_generation


@command("aerotile index rollback", "aerotile index rollback --to 000003")
@click.option(
    "--to",
    "generation",
    type=generation_name,
    metavar="GENERATION",
    help="Which one; default the one before.",
)
@json_option
@click.pass_obj
def rollback(session: Session, generation: str | None, as_json: bool) -> None:
    """Check an older generation and switch to it by one rename; nothing changes when it is damaged."""
    with session.existing_runtime("index") as runtime:
        builder = runtime.index_builder
        metadata = builder.rollback(generation)
        print_generation(builder.generations.current(), metadata, as_json=as_json)
