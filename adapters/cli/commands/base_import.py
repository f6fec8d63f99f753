"""`aerotile base import`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE
from ..command import command
from ..output import json_option
from ..progress import progress_bar
from ..session import Session
from .base import print_opened


@command("aerotile base import /media/stick/base-7.tar", name="import")
@click.argument("file", type=EXISTING_FILE)
@json_option
@click.pass_obj
def import_(session: Session, file: Path, as_json: bool) -> None:
    """Add the generation in FILE, which `base export --file` wrote, to those on this disk.

    It is durable and was hashed whole when this ends, and is not switched to. Makes the root folder where
    there is none. Nothing stays of a file that is damaged, cut short or no such export.
    """
    with session.runtime() as runtime:
        with progress_bar("bytes") as advance:
            opened = runtime.import_base_file(file, advance)
        print_opened(runtime, opened, as_json=as_json)
