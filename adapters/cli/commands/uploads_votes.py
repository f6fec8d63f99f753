"""`aerotile uploads votes`."""

from __future__ import annotations

import click

from ....domain.values.counted import counted
from ..command import command
from ..errors import JobFailedError
from ..output import json_option, write_json, write_line
from ..session import Session


@command("aerotile uploads votes")
@json_option
@click.pass_obj
def votes(session: Session, as_json: bool) -> None:
    """Pull the provider's verdicts on earlier tiles, from where the last pull ended.

    A verdict moves a tile's vote forward only: to trusted, or from there to rejected.
    """
    with session.existing_runtime() as runtime:
        pulled = runtime.pull_votes()
    if as_json:
        write_json({"read": pulled.read, "moved": pulled.moved, "unknown": pulled.unknown})
    else:
        write_line(
            f"{counted(pulled.read, 'vote')} read, {counted(pulled.moved, 'tile')} moved, "
            f"{pulled.unknown} not known here"
        )
    if pulled.problem is not None:
        remedy = pulled.problem.remedy or "run it again; it goes on from there"
        raise JobFailedError(f"not all votes could be read: {pulled.problem.reason}", remedy=remedy)
