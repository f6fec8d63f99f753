"""`aerotile status`."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....domain.errors import AerotileError, RuntimeNotAvailableError
from ..command import AerotileCommand
from ..errors import JobFailedError, describe, one_line
from ..output import in_words, json_option, write_facts, write_json, write_line
from ..session import Session
from .index import index_facts

if TYPE_CHECKING:
    from ...composition import Runtime


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile status
  aerotile status --json
""",
)
@json_option
@click.pass_obj
def status(session: Session, as_json: bool) -> None:
    """Show the clock, the tiles, the sectors, the index, the flight record and the configuration.

    When a part does not answer, its reason and the other parts are shown, and the exit code is 1. Passwords
    are never shown.
    """
    with session.existing_runtime() as runtime:
        parts: dict[str, Callable[[Runtime], dict[str, Any]]] = {
            "clock": _clock,
            "tiles": _tiles,
            "sectors": _sectors,
            "index": _index,
            "base": _base,
            "record": _record,
        }
        facts = {name: _answer(part, runtime, session) for name, part in parts.items()}
    loaded = session.loaded
    facts["configuration"] = loaded.config.describe()
    if as_json:
        write_json({**facts, "configuration_origins": dict(loaded.origins)})
    else:
        _print(facts, loaded.origins)
    failed = [name for name, part in facts.items() if "error" in part]
    if failed:
        first = failed[0]
        raise JobFailedError(f"{first}: {facts[first]['error']}", remedy=facts[first]["remedy"])


def _answer(part: Callable[[Runtime], dict[str, Any]], runtime: Runtime, session: Session) -> dict[str, Any]:
    try:
        return part(runtime)
    except AerotileError as error:
        return {"error": session.redacted(str(error)), "remedy": error.remedy}
    except OSError as error:
        message, remedy, _ = describe(error)
        return {"error": session.redacted(message), "remedy": remedy}


def _clock(runtime: Runtime) -> dict[str, Any]:
    now = runtime.clock.now()
    fault = runtime.clock_fault(now)
    return {
        "now": now.isoformat(timespec="seconds"),
        "trusted": fault is None,
        "why_not": None if fault is None else str(fault),
    }


def _tiles(runtime: Runtime) -> dict[str, Any]:
    total_bytes = runtime.metadata_store.total_disk_bytes()
    sources: Counter[str] = Counter()
    zooms: Counter[int] = Counter()
    for (source, zoom_level), count in runtime.rows.counts().items():
        sources[source.value] += count
        zooms[zoom_level] += count
    return {
        "count": sum(sources.values()),
        "by_source": dict(sorted(sources.items())),
        "by_zoom": {str(zoom_level): count for zoom_level, count in sorted(zooms.items())},
        "disk_bytes": total_bytes,
        "budget_bytes": runtime.tiles_budget_bytes,
        "free_disk_bytes": shutil.disk_usage(runtime.config.root).free,
    }


def _sectors(runtime: Runtime) -> dict[str, Any]:
    classifications = Counter(s.classification.value for s in runtime.sector_store.sectors())
    return {
        "count": sum(classifications.values()),
        "by_classification": dict(sorted(classifications.items())),
        "rules_max_age_seconds": {
            rule.classification.value: rule.max_age.total_seconds() for rule in runtime.sector_store.rules()
        },
    }


def _index(runtime: Runtime) -> dict[str, Any]:
    try:
        opened = runtime.descriptor_index
    except RuntimeNotAvailableError as error:  # a part that was left out on purpose is no failure
        return {"generation": None, "switched_off": str(error)}
    generation = runtime.index_builder.generations.current()
    if generation is None:
        return {"generation": None}
    return index_facts(generation, opened.metadata())


def _base(runtime: Runtime) -> dict[str, Any]:
    name = runtime.base_generations.current()
    if name is None:
        return {"generation": None, "layered": runtime.config.base.layered}
    opened = runtime.base_generations.manifest(name, runtime.base_trust)
    return {
        "generation": name,
        "layered": runtime.config.base.layered,
        "tiles": opened.manifest.tiles,
        "twins_in_store": runtime.count_base_twins() if runtime.config.base.layered else None,
        "trusted": opened.is_trusted,
        "disk_bytes": runtime.base_generations.total_bytes(),
    }


def _record(runtime: Runtime) -> dict[str, Any]:
    folder = runtime.config.record_folder
    sizes = [_size(path) for path in folder.iterdir()] if folder.is_dir() else []
    return {"folder": str(folder), "files": len(sizes), "bytes": sum(sizes)}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the recorder removed its oldest file meanwhile
        return 0


def _print(facts: dict[str, Any], origins: Any) -> None:
    for name in ("clock", "tiles", "sectors", "index", "base", "record"):
        write_line(f"{name}:")
        part = facts[name]
        if "error" in part:
            write_line(f"  does not answer: {one_line(part['error'])}")
            continue
        write_facts({f"  {key}": _shown(key, value) for key, value in part.items()})
    write_line("configuration (what is not a default):")
    write_facts(
        {
            f"  {name}": f"{value}  ({origins[name]})"
            for name, value in facts["configuration"].items()
            if origins[name] != "default" or name == "root"
        }
    )


def _shown(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(key, inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("bytes"):
        return in_words(value)
    if key.endswith("_seconds"):
        return f"{value / 86_400:g} days"
    return value
