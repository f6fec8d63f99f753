"""A lookup of the flight record, explained: what was asked, what came back, what was used."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .errors import BadInputError
from .output import write_facts, write_json, write_line, write_table

if TYPE_CHECKING:
    from ..recorder.line_format import RecordLine


def explain_lookups(lines: Iterable[RecordLine], asked: str, *, as_json: bool) -> None:
    """Print each lookup that `asked` names, with the base that was open and the fixes that were made of it.

    A number names the lookup of every run that has it. Raises `BadInputError` when there is none.
    """
    found: dict[str, dict[str, Any]] = {}
    base: dict[str, Any] | None = None
    for line in lines:
        event, payload = line.envelope, line.envelope.payload
        if event.kind == "c6.base.opened":
            base = {name: payload.get(name) for name in ("generation", "manifest_sha256")}
        elif event.kind == "c6.lookup" and asked in (payload.get("lookup"), str(payload.get("sequence"))):
            facts = {"time": event.wall_time.isoformat(), "searched": event.reason, **payload, "base": base}
            found[str(payload.get("lookup"))] = {**facts, "fixes": []}
        elif event.kind == "c6.fix" and (lookup := str(payload.get("lookup"))) in found:
            found[lookup]["fixes"].append(dict(payload))
    if not found:
        raise BadInputError(
            f"the record holds no lookup {asked}",
            remedy="aerotile record --kind c6.lookup lists them; a lookup may have been thinned or dropped",
        )
    if as_json:
        write_json(list(found.values()))
        return
    for name, facts in found.items():
        try:
            _print(facts)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(
                f"lookup {name} is of a schema that this program does not know ({error!r})",
                remedy="--json shows it as it was recorded",
            ) from error


def _print(facts: dict[str, Any]) -> None:
    base, index = facts["base"], f"{facts['index_generation'] or '-'}  {facts['index_sha256']}"
    write_facts(
        {
            "lookup": facts["lookup"],
            "time": facts["time"],
            "searched": facts["searched"],
            "prior": None if facts["near"] is None else json.dumps(facts["near"]),
            "k": facts["k"],
            "query": f"{'recorded' if facts['query'] else 'digest only'}, SHA-256 {facts['query_sha256']}",
            "index": index,
            "base": None if base is None else f"{base['generation']}  {base['manifest_sha256']}",
            "hits": facts["hit_count"],
            "unknown to the store": facts["unknown"] if facts["store_open"] else "no store was open",
        }
    )
    used = {fix["tile"] for fix in facts["fixes"]}
    write_table(
        ["rank", "tile", "distance", "used", "content"],
        [
            [rank, tile, f"{float(distance):.6g}", "yes" if tile in used else "", content or "unknown"]
            for rank, (tile, distance, content) in enumerate(facts["hits"], 1)
        ],
    )
    for fix in facts["fixes"]:
        where = f"{fix['lat']:.6f},{fix['lon']:.6f} within {fix['error_m']:g} m"
        write_line(f"fix from {fix['tile']}: {where} at {fix['fixed_at']}")
