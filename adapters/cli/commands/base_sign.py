"""`aerotile base sign`."""

from __future__ import annotations

from pathlib import Path

import click

from ..arguments import EXISTING_FILE, generation_name
from ..command import command
from ..errors import BadInputError
from ..output import json_option
from ..session import Session
from .base import chosen_generation, print_opened


@command("aerotile base sign 000007 --key release.key")
@click.argument("generation", type=generation_name)
@click.option("--key", required=True, type=EXISTING_FILE, help="The private key, as keygen wrote it.")
@json_option
@click.pass_obj
def sign(session: Session, generation: str, key: Path, as_json: bool) -> None:
    """Add a signature to GENERATION; one signature for each key, and as many as the threshold asks for.

    `signed_by` names those of the pinned keys that signed it.
    """
    from ...signatures import KEY_REMEDY, SignatureError, read_private_key

    with session.existing_runtime("base") as runtime:
        name = chosen_generation(runtime, generation)
        try:
            private_key = read_private_key(key)
        except SignatureError as error:
            raise BadInputError(f"{key} can't sign: {error}", remedy=error.remedy or KEY_REMEDY) from error
        runtime.base_generations.sign(name, private_key)
        opened = runtime.base_generations.manifest(name, runtime.base_trust)
        print_opened(runtime, opened, as_json=as_json)
