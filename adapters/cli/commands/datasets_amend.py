"""`aerotile datasets amend`."""

from __future__ import annotations

from typing import Any

import attrs
import click

from ....domain.errors import DatasetError
from ..capture_times import (
    CaptureTimeOptions,
    captured_at_option,
    gather_capture_times,
    stac_option,
)
from ..command import command
from ..errors import BadInputError, as_bad_input
from ..output import json_option
from ..session import Session
from .datasets import checked, dates_from_option, offline_option, print_dataset


@command("aerotile datasets amend ortho-2024 --may-be-stored-offline no")
@click.argument("name")
@click.option("--licence", metavar="TEXT", help="Its name or identifier, such as CC-BY-4.0.")
@click.option("--attribution", metavar="TEXT", help="The words to show with the tiles.")
@offline_option
@captured_at_option
@stac_option
@dates_from_option
@json_option
@click.pass_obj
@gather_capture_times
def amend(
    session: Session,
    name: str,
    licence: str | None,
    attribution: str | None,
    may_be_stored_offline: str | None,
    capture_times: CaptureTimeOptions,
    dates_from: str | None,
    as_json: bool,
) -> None:
    """Correct the facts of the dataset NAME; its source and digest stay.

    Tiles that are stored stay as they are: a capture date of theirs is corrected with `aerotile amend`, and
    tiles that may not be stored any more are refused by `aerotile base seal`.
    """
    chosen = capture_times.read()
    if chosen.origin is not None and dates_from is not None:
        raise BadInputError(
            "a date for all tiles contradicts --dates-from",
            remedy="give --dates-from, or --captured-at or --stac",
        )
    corrections = {
        "licence": licence,
        "attribution": attribution,
        "may_be_stored_offline": None if may_be_stored_offline is None else may_be_stored_offline == "yes",
        "captured_from": chosen.origin or dates_from,
    }
    changes: dict[str, Any] = {field: value for field, value in corrections.items() if value is not None}
    if "captured_from" in changes:
        changes["captured_at"] = chosen.one_date
    if not changes:
        raise BadInputError(f"nothing of the dataset {name} is to be corrected", remedy="give an option")
    with session.existing_runtime() as runtime:
        with as_bad_input(DatasetError):
            facts = attrs.asdict(runtime.dataset_store.find(name)) | changes
            dataset = checked(facts, runtime.clock.now())
            runtime.dataset_store.amend(dataset)
        tiles = runtime.rows.counts_by_dataset().get(name, 0)
    print_dataset(dataset, tiles, as_json=as_json)
