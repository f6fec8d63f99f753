"""`aerotile recall explain`."""

from __future__ import annotations

import click

from ..arguments import tile_ids
from ..command import command
from ..output import json_option, write_json, write_line
from ..session import Session


@command("aerotile recall explain imported/16/34567/22789")
@click.argument("tiles", nargs=-1, required=True, metavar="TILE...")
@json_option
@click.pass_obj
def explain(session: Session, tiles: tuple[str, ...], as_json: bool) -> None:
    """Say of each TILE which entry of the list in force names it.

    A TILE is judged as the base in use and the store hold it, each for itself. Of a tile that neither holds,
    its place alone is known: areas are all that can name it. Nothing is changed.
    """
    named = tile_ids(tiles)
    with session.existing_runtime("base") as runtime:
        in_force = runtime.recall_lists.read()
        holders = [] if in_force is None else list(runtime.tile_facts())
    facts = []
    for tile_id in named:
        held: list[tuple[str, int | None, str | None]] = [
            (name, captured_us, content)
            for name, each in holders
            if (captured_us := each.captured_us(tile_id)) is not None
            and (content := each.content_sha256(tile_id)) is not None
        ] or [("nowhere", None, None)]
        for where, captured_us, content in held:
            entry = in_force and in_force.recalls.entry_for(tile_id, captured_us, content)
            facts.append(
                {"tile": str(tile_id), "held": where, "content_sha256": content, "recalled_by": entry}
            )
    if as_json:
        recalls = None if in_force is None else in_force.recalls
        shown = None if recalls is None else {"number": recalls.number, "reason": recalls.reason}
        write_json({"in_force": shown, "tiles": facts})
        return
    if in_force is None:
        write_line("no recall list is in force")
        return
    for each in facts:
        entry = each["recalled_by"]
        where = "held nowhere" if each["held"] == "nowhere" else f"in the {each['held']}"
        verdict = "not recalled" if entry is None else f"recalled by list {in_force.recalls.number}: {entry}"
        write_line(f"{each['tile']} ({where}): {verdict}")
    if any(each["recalled_by"] for each in facts):
        write_line(f"reason: {in_force.recalls.reason}")
