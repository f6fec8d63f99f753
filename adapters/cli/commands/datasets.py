"""`aerotile datasets ...`: the group, and the facts that its commands print."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import click

from ....domain.errors import CaptureTimeInFutureError
from ..command import LazyGroup
from ..errors import BadInputError
from ..output import write_facts, write_json

if TYPE_CHECKING:
    from ....domain.values.datasets import Dataset

COMMANDS = {
    "define": ("datasets_define", "Define a dataset: its licence, attribution and source."),
    "list": ("datasets_list", "List the datasets, and how many tiles each has."),
    "show": ("datasets_show", "Show one dataset."),
    "amend": ("datasets_amend", "Correct licence, attribution, permission or capture date."),
}

offline_option = click.option(
    "--may-be-stored-offline",
    type=click.Choice(["yes", "no"]),
    help="Whether the licence allows to store the tiles and to fly with them.",
)
dates_from_option = click.option(
    "--dates-from", metavar="TEXT", help="No date for all: in words, where tiles get their dates."
)


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def datasets() -> None:
    """Define, list and correct the datasets that tiles come from."""


def dataset_facts(dataset: Dataset, tiles: int) -> dict[str, Any]:
    """The facts of a dataset and the number of its tiles, as JSON shows them."""
    return attrs.asdict(dataset) | {
        "digest_of": dataset.digest_of.value,
        "captured_at": None if dataset.captured_at is None else dataset.captured_at.isoformat(),
        "tiles": tiles,
    }


def print_dataset(
    dataset: Dataset, tiles: int, *, as_json: bool, left_out_of_digest: Mapping[str, int] | None = None
) -> None:
    """Print a dataset, as JSON or one fact a line."""
    facts = dataset_facts(dataset, tiles)
    if as_json:
        counted = dict(sorted((left_out_of_digest or {}).items()))
        write_json(facts | {"left_out_of_digest": counted} if counted else facts)
    else:
        write_facts(facts | {"may_be_stored_offline": "yes" if dataset.may_be_stored_offline else "NO"})


def checked(facts: dict[str, Any], now: datetime) -> Dataset:
    """The dataset with these facts. Raises `BadInputError` for impossible ones, and a date ahead of `now`."""
    from ....domain.policies.freshness import check_capture_time
    from ....domain.values.datasets import Dataset

    try:
        dataset = Dataset(**facts)
        if dataset.captured_at is not None:
            check_capture_time(dataset.captured_at, now)
    except (ValueError, CaptureTimeInFutureError) as error:
        raise BadInputError(str(error), remedy="correct the option; no dataset was changed") from error
    return dataset
