"""`aerotile index generations`."""

from __future__ import annotations

import click

from ..command import command
from ..output import json_option, write_json, write_line, write_table
from ..session import Session


@command("aerotile index generations")
@json_option
@click.pass_obj
def generations(session: Session, as_json: bool) -> None:
    """List the generations on the disk, oldest first, and mark the one in use."""
    with session.existing_runtime("index") as runtime:
        kept = runtime.index_builder.generations
        current = kept.current()
        facts = [{"generation": name, "in_use": name == current} for name in kept.names()]
    if as_json:
        write_json(facts)
    elif facts:
        write_table(
            ["generation", "in use"], [[f["generation"], "yes" if f["in_use"] else ""] for f in facts]
        )
    else:
        write_line("no generation; build one with aerotile index build")
