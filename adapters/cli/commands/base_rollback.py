"""`aerotile base rollback`."""

from __future__ import annotations

import click

from ..command import command
from ..output import json_option
from ..session import Session
from .base import print_opened


@command("aerotile base rollback")
@json_option
@click.pass_obj
def rollback(session: Session, as_json: bool) -> None:
    """Go back to the newest generation older than the one in use; the same as naming it to `switch`."""
    with session.existing_runtime("base") as runtime:
        name = runtime.base_generations.previous()
        print_opened(runtime, runtime.switch_base(name), as_json=as_json)
