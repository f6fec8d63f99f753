"""`aerotile recall ...`: the group, and the facts that its commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ....domain.values.counted import counted
from ..command import LazyGroup
from ..output import write_facts, write_json

if TYPE_CHECKING:
    from ....domain.ports.recall_source import RecallInForce

COMMANDS = {
    "make": ("recall_make", "Write a list of what must not be flown by any more."),
    "sign": ("recall_sign", "Add a signature to a list."),
    "apply": ("recall_apply", "Put a signed list in force here."),
    "list": ("recall_list", "Show the list in force, or a list's file."),
    "explain": ("recall_explain", "Say which entry of the list in force names a tile."),
}
_LISTED_ENTRIES = 20


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def recall() -> None:
    """Recall tiles, whoever holds them: none of them is found, read or stored any more."""


def list_facts(found: RecallInForce, *, threshold: int, trusted: bool) -> dict[str, Any]:
    """The facts of a list, as JSON shows them."""
    from ....domain.values.lookups import area_facts

    recalls = found.recalls
    return {
        "number": recalls.number,
        "reason": recalls.reason,
        "list_sha256": found.identity,
        "signed_by": list(found.signers),
        "signatures_needed": threshold,
        "trusted": trusted,
        "digests": list(recalls.digests),
        "captured": [[span.first.isoformat(), span.last.isoformat()] for span in recalls.captured],
        "areas": [area_facts(area) for area in recalls.areas],
    }


def print_list(facts: dict[str, Any], *, as_json: bool) -> None:
    """Print the facts of a list, as JSON or one a line; of many entries the first and their number."""
    if as_json:
        write_json(facts)
        return
    shown = dict(facts) | {"signed_by": ", ".join(facts["signed_by"]) or "-"}
    shown["trusted"] = "yes" if facts["trusted"] else "NO"
    for name in ("digests", "captured", "areas"):
        entries = facts[name]
        more = f", and {len(entries) - _LISTED_ENTRIES} more" if len(entries) > _LISTED_ENTRIES else ""
        shown[name] = ", ".join(map(_entry, entries[:_LISTED_ENTRIES])) + more or "-"
    write_facts(shown)


def _entry(entry: Any) -> str:
    if isinstance(entry, list):
        return " to ".join(entry)
    if isinstance(entry, dict):
        zooms = entry["zooms"]
        at = "" if zooms is None else f" at zoom {', '.join(map(str, zooms))}"
        return "; ".join(_shape(shape) for shape in entry["shapes"]) + at
    return str(entry)


def _shape(shape: dict[str, Any]) -> str:
    ((kind, numbers),) = shape.items()
    if kind == "polygons":
        return counted(len(numbers), "polygon")
    return f"{kind} {','.join(f'{number:.10g}' for number in numbers)}"
