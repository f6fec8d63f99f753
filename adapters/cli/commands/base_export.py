"""`aerotile base export`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import generation_name
from ..command import command
from ..errors import BadInputError
from ..new_files import refuse_own_folders
from ..output import json_option
from ..progress import progress_bar
from ..session import Session
from .base import base_facts, chosen_generation, print_base


@command(
    "aerotile base export 000007 /media/stick/base",
    "aerotile --root /media/stick base export 000007 aerotile-data/base    # on the aircraft",
    "aerotile base export 000007 --file /media/stick/base-7.tar",
)
@click.argument("generation", type=generation_name)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one file instead, and its SHA-256 to FILE.sha256; `base import` reads it.",
)
@json_option
@click.pass_obj
def export(session: Session, generation: str, folder: Path | None, file: Path | None, as_json: bool) -> None:
    """Copy GENERATION into FOLDER, a folder of bases such as one on a stick or below another root.

    The copy is durable and was hashed whole when this ends; its `manifest_sha256` binds every byte of it. It
    is not switched to. The same generation with the same signatures gives the same FILE.
    """
    target = folder or file
    if target is None or (folder is not None and file is not None):
        raise BadInputError("a generation is copied to FOLDER or to --file", remedy="name one of them")
    refuse_own_folders(target, session.config)
    with session.existing_runtime("base") as runtime:
        name = chosen_generation(runtime, generation)
        of_file: dict[str, str] = {}
        with progress_bar("bytes") as advance:
            if folder is not None:
                opened = runtime.export_base(name, folder, advance)
            elif file is not None:
                opened, digest = runtime.export_base_file(name, file, advance)
                of_file = {"file": str(file), "file_sha256": digest}
        facts = base_facts(opened, threshold=runtime.base_trust.threshold, in_use=False)
        print_base(facts | of_file, as_json=as_json)
