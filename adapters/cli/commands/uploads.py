"""`aerotile uploads`, `aerotile uploads requeue|votes`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from ....domain.values.tiles import parse_tile_id
from ..command import AerotileCommand, LazyGroup, shared_options
from ..errors import BadInputError, JobFailedError, one_line
from ..output import json_option, write_json, write_json_line, write_line, write_table
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.tiles import TileId
    from ....domain.values.upload_reports import UploadListEntry

COMMANDS = {
    "requeue": ("uploads", "Give given-up tiles another life, on the record."),
    "votes": ("uploads", "Pull the provider's verdicts on tiles that it holds."),
}
_STATES = ("pending", "uploaded", "given_up", "voted_out")


class ListingGroup(LazyGroup):
    """A group that lists when it is called without a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options; none is a call for the list, not for help."""
        return click.Group.parse_args(self, ctx, args)


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

    Columns: how often the tile was sent in its present life, how often it was rejected, and the last thing
    that the ledger holds about it ("sent" when no answer was heard).
    """
    if ctx.invoked_subcommand is not None:
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


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile uploads requeue onboard/7d444840-9dc0-11d1-b245-5ffdce74fad2/18/152345/90123
  aerotile uploads requeue --all
""",
)
@click.argument("tiles", nargs=-1, metavar="[TILE]...")
@click.option("--all", "every", is_flag=True, help="Every tile that is given up.")
@json_option
@click.pass_obj
def requeue(session: Session, tiles: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Give given-up tiles another life: pending again, with no rejection counted.

    It goes on the flight record. Each tile is a step of its own: what was requeued before one is refused
    stays requeued.
    """
    from ....domain.flight_events import upload_requeued_event

    if bool(tiles) == every:
        raise click.UsageError("name the tiles, or give --all")
    try:
        chosen = [parse_tile_id(text) for text in tiles]
    except ValueError as error:
        raise BadInputError(str(error), remedy="aerotile uploads lists the tiles' ids") from error
    lives: list[tuple[TileId, int]] = []
    with session.existing_runtime() as runtime:
        ledger = runtime.upload_ledger
        if every:
            chosen = [e.tile.tile_id for e in ledger.entries() if e.state.value == "given_up"]
        for tile_id in chosen:
            generation = ledger.requeue(tile_id, runtime.clock.now())
            runtime.recorder.record(upload_requeued_event(tile_id, generation))
            lives.append((tile_id, generation))
    if as_json:
        write_json([{"tile": str(tile_id), "generation": life} for tile_id, life in lives])
        return
    for tile_id, life in lives:
        write_line(f"{tile_id} is pending again; this is its life number {life}")
    write_line(f"{len(lives)} tiles requeued")


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile uploads votes
""",
)
@json_option
@click.pass_obj
def votes(session: Session, as_json: bool) -> None:
    """Pull the provider's verdicts on earlier tiles, from where the last pull ended.

    A verdict moves a tile's vote forward only: to trusted, or from there to rejected.
    """
    from ....domain.uploads.pull_votes import pull_votes
    from ...http.votes import HttpVoteSource

    with session.existing_runtime() as runtime:
        address = runtime.provider_address
        with HttpVoteSource(address, clock=runtime.clock) as source:
            pulled = pull_votes(
                address.url,
                source=source,
                cursor=runtime.upload_ledger,
                votes=runtime.metadata_store,
                clock=runtime.clock,
            )
    if as_json:
        write_json({"read": pulled.read, "moved": pulled.moved, "unknown": pulled.unknown})
    else:
        write_line(f"{pulled.read} votes read, {pulled.moved} tiles moved, {pulled.unknown} not known here")
    if pulled.problem is not None:
        remedy = pulled.problem.remedy or "run it again; it goes on from there"
        raise JobFailedError(f"not all votes could be read: {pulled.problem.reason}", remedy=remedy)
