"""`aerotile datasets show`."""

from __future__ import annotations

import click

from ....domain.errors import UnknownDatasetError
from ..command import command
from ..errors import as_bad_input
from ..output import json_option
from ..session import Session
from .datasets import print_dataset


@command("aerotile datasets show ortho-2024")
@click.argument("name")
@json_option
@click.pass_obj
def show(session: Session, name: str, as_json: bool) -> None:
    """Show the facts of the dataset NAME, and how many tiles are of it."""
    with session.existing_runtime() as runtime:
        with as_bad_input(UnknownDatasetError):
            dataset = runtime.dataset_store.find(name)
        tiles = runtime.rows.counts_by_dataset().get(name, 0)
    print_dataset(dataset, tiles, as_json=as_json)
