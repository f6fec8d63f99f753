"""`aerotile amend`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ....domain.errors import CaptureTimeInFutureError
from ..arguments import moment, tile_ids
from ..command import command
from ..errors import JobFailedError, as_bad_input
from ..output import json_option, write_json, write_table
from ..session import Session

if TYPE_CHECKING:
    from ....domain.ports.tile_store import AmendedTile


@command("aerotile amend --captured-at 2024-05-01 imported/16/34567/22789")
@click.argument("tiles", nargs=-1, required=True, metavar="TILE...")
@click.option(
    "--captured-at",
    type=moment,
    required=True,
    metavar="DATE",
    help="When the ground looked like that: a date, or a date and time with an offset.",
)
@json_option
@click.pass_obj
def amend(session: Session, tiles: tuple[str, ...], captured_at: datetime, as_json: bool) -> None:
    """Put the capture date of stored tiles right. Their bytes stay as they are.

    Each tile is judged anew by the freshness rules, and the flight record notes each change. The true date is
    stored also when a tile is too old for its sector by it: such a tile stays, with that verdict, and the
    exit code is 1. When any of the tiles has no row, no tile is changed.
    """
    named = tile_ids(tiles)
    with session.existing_runtime() as runtime, as_bad_input(CaptureTimeInFutureError):
        amended = runtime.amend_tiles(named, captured_at)
    facts = [_facts(tile) for tile in amended]
    if as_json:
        write_json(facts)
    else:
        columns = ["tile", "captured_at_before", "captured_at", "decision"]
        write_table(columns, [[fact[column] for column in columns] for fact in facts])
    refused = [fact["tile"] for fact in facts if fact["decision"] == "reject"]
    if refused:
        raise JobFailedError(
            f"{len(refused)} of {len(facts)} tiles are too old for their sector by the new date, such as "
            f"{refused[0]}; they stay stored",
            remedy="aerotile delete removes them, if they must not be flown by",
        )


def _facts(amended: AmendedTile) -> dict[str, Any]:
    return {
        "tile": str(amended.stored.tile_id),
        "captured_at_before": amended.captured_at_before.isoformat(),
        "captured_at": amended.stored.captured_at.isoformat(),
        "decision": amended.verdict.decision.name.lower(),
        "freshness_label": amended.stored.freshness_label.value,
        "age_seconds": amended.verdict.age.total_seconds(),
        "sector": None if amended.verdict.sector is None else amended.verdict.sector.sector_id,
    }
