"""`aerotile uploads`: the list, and the group of `requeue` and `votes`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from ..command import LazyGroup, SingleValues, shared_options
from ..errors import one_line
from ..output import write_json_line, write_line, write_table
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.upload_reports import UploadListEntry

COMMANDS = {
    "requeue": ("uploads_requeue", "Give given-up tiles another life, on the record."),
    "votes": ("uploads_votes", "Pull the provider's verdicts on tiles that it holds."),
}
_STATES = ("pending", "uploaded", "given_up", "voted_out")


class ListingGroup(LazyGroup):
    """A group that lists when it is called without a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options; a call without options asks for the list, not for help."""
        return SingleValues.parse_args(self, ctx, args)


@click.command(
    cls=ListingGroup,
    commands_table=COMMANDS,
    package=__package__,
    invoke_without_command=True,
    params=shared_options(),
    epilog="""\b
Example:
  aerotile uploads
  aerotile uploads --state given_up --json
""",
)
@click.option("--state", type=click.Choice(_STATES), help="Only tiles in this state.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON lines.")
@click.pass_context
def uploads(ctx: click.Context, state: str | None, as_json: bool) -> None:
    """List the tiles that the aircraft made: pending, uploaded, given up or voted out, and why.

    Columns: how often the tile was sent in its present life, how often it was rejected, and its last line in
    the ledger ("sent" when no answer came).
    """
    if ctx.invoked_subcommand is not None:
        if state is not None or as_json:
            option = "--json" if state is None else "--state"
            raise click.UsageError(f"{option} before {ctx.invoked_subcommand} is for the list of tiles", ctx)
        return
    session = ctx.ensure_object(Session)
    session.configure_logging()
    counts: Counter[str] = Counter()
    rows: list[list[Any]] = []
    with session.existing_runtime() as runtime:
        for entry in runtime.upload_ledger.entries():
            counts[entry.state.value] += 1
            if state not in (None, entry.state.value):
                continue
            if as_json:
                write_json_line(_facts(entry))
            else:
                rows.append(_columns(entry))
    if as_json:
        return
    if rows:
        write_table(["tile", "state", "sent", "rejected", "last", "reason"], rows)
    write_line(", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in _STATES))


def _facts(entry: UploadListEntry) -> dict[str, Any]:
    tile, reason = entry.tile, entry.last_reason
    return {
        "tile": str(tile.tile_id),
        "tile_uuid": str(tile.tile_uuid),
        "state": entry.state.value,
        "content_sha256": tile.content_sha256,
        "disk_bytes": tile.disk_bytes,
        "uploaded_at": None if tile.uploaded_at is None else tile.uploaded_at.isoformat(),
        "voting_status": None if tile.voting_status is None else tile.voting_status.value,
        "generation": entry.generation,
        "times_sent": entry.times_sent,
        "upload_attempts": tile.upload_attempts,
        "last_event": entry.last_event,
        "last_at": None if entry.last_at is None else entry.last_at.isoformat(),
        "reason_code": None if reason is None else reason.code,
        "reason_detail": None if reason is None else reason.detail,
    }


def _columns(entry: UploadListEntry) -> list[Any]:
    reason = None if entry.last_reason is None else one_line(str(entry.last_reason))
    return [
        str(entry.tile.tile_id),
        entry.state.value,
        entry.times_sent,
        entry.tile.upload_attempts,
        entry.last_event,
        reason,
    ]
