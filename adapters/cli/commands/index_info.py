"""`aerotile index info`."""

from __future__ import annotations

import click

from ..command import command
from ..output import json_option
from ..session import Session
from .index import print_generation


@command("aerotile index info --json")
@json_option
@click.pass_obj
def info(session: Session, as_json: bool) -> None:
    """Open the generation in use, check it against its hash and metadata, and show its facts."""
    with session.existing_runtime("index") as runtime:
        metadata = runtime.descriptor_index.metadata()
        print_generation(runtime.index_builder.generations.current(), metadata, as_json=as_json)
