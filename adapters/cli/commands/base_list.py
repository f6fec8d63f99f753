"""`aerotile base list`."""

from __future__ import annotations

from typing import Any

import click

from ....domain.errors import BaseUnavailableError
from ..command import command
from ..errors import JobFailedError
from ..output import json_option, write_json, write_line, write_table
from ..session import Session
from .base import base_facts


@command("aerotile base list", name="list")
@json_option
@click.pass_obj
def list_(session: Session, as_json: bool) -> None:
    """List the generations on the disk, oldest first; one that can't be read is named, and exit code 1."""
    with session.existing_runtime("base") as runtime:
        kept, trust = runtime.base_generations, runtime.base_trust
        pointer = kept.pointer()
        facts: list[dict[str, Any]] = []
        for name in kept.names():
            in_use = pointer is not None and pointer[0] == name
            try:
                opened = kept.manifest(name, trust)
            except BaseUnavailableError as error:
                facts.append({"generation": name, "in_use": in_use, "error": str(error)})
            else:
                facts.append(base_facts(opened, threshold=trust.threshold, in_use=in_use))
    if as_json:
        write_json(facts)
    elif facts:
        header = ["generation", "in use", "tiles", "trusted"]
        write_table(
            header,
            [
                [
                    f["generation"],
                    "yes" if f["in_use"] else "",
                    f.get("tiles"),
                    "damaged" if "error" in f else "yes" if f["trusted"] else "NO",
                ]
                for f in facts
            ],
        )
    else:
        write_line("no generation; seal one with aerotile base seal")
    if damaged := [f for f in facts if "error" in f]:
        raise JobFailedError(damaged[0]["error"], remedy="bring it again, or remove its folder")
