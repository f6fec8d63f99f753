"""`aerotile base export`."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import AerotileCommand
from ..output import json_option
from ..progress import progress_bar
from ..session import Session
from .base import base_facts, chosen_generation, print_base


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile base export 000007 /media/stick/base
  aerotile --root /media/stick base export 000007 aerotile-data/base    # on the aircraft
""",
)
@click.argument("generation")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
@click.pass_obj
def export(session: Session, generation: str, folder: Path, as_json: bool) -> None:
    """Copy GENERATION into FOLDER, a folder of bases such as one on a stick or below another root.

    The copy is durable and was hashed whole when this ends; its `manifest_sha256` binds every byte of it. It
    is not switched to.
    """
    with session.existing_runtime("base") as runtime:
        name = chosen_generation(runtime, generation)
        with progress_bar("bytes") as advance:
            opened = runtime.export_base(name, folder, advance)
        facts = base_facts(opened, threshold=runtime.base_trust.threshold, in_use=False)
        print_base(facts, as_json=as_json)
