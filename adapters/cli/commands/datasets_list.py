"""`aerotile datasets list`."""

from __future__ import annotations

import click

from ....domain.values.counted import counted
from ..command import command
from ..output import json_option, write_json, write_line, write_table
from ..session import Session
from .datasets import dataset_facts


@command("aerotile datasets list --json")
@json_option
@click.pass_obj
def list_(session: Session, as_json: bool) -> None:
    """List the datasets that are defined, the number of tiles of each, and of tiles without a dataset."""
    with session.existing_runtime() as runtime:
        defined = runtime.dataset_store.datasets()
        tiles = runtime.rows.counts_by_dataset()
    without = tiles.get(None, 0)
    facts = [dataset_facts(dataset, tiles.get(dataset.name, 0)) for dataset in defined]
    if as_json:
        write_json({"datasets": facts, "tiles_without_dataset": without})
        return
    write_table(
        ["dataset", "tiles", "offline", "licence", "captured at", "attribution"],
        [
            [
                each["name"],
                each["tiles"],
                "yes" if each["may_be_stored_offline"] else "NO",
                each["licence"],
                each["captured_at"],
                each["attribution"],
            ]
            for each in facts
        ],
    )
    write_line(f"{counted(without, 'tile')} without a dataset")
