"""`aerotile status`."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....domain.errors import AerotileError, RuntimeNotAvailableError, StoreUnavailableError
from ....domain.policies.freshness import FreshnessDecision
from ....domain.store.changed_verdicts import count_changed_verdicts
from ....domain.values.coverage import ZoomCoverage, coverage_of
from ..command import command
from ..coverage import check_map_file, coverage_facts, map_option, write_coverage
from ..errors import BadInputError, JobFailedError, describe, one_line
from ..output import in_words, json_option, write_facts, write_json, write_line
from ..session import Session
from .index import agreement_facts, contents_facts, index_facts, nothing_known

if TYPE_CHECKING:
    from ....domain.lookups.searchable_index import SearchableIndex
    from ...composition import Runtime

_OF_A_STORE = ("tiles", "sectors")


@command("aerotile status", "aerotile status --json")
@map_option
@json_option
@click.pass_obj
def status(session: Session, map_file: Path | None, as_json: bool) -> None:
    """Show clock, tiles and their ground, sectors, index, base, recall list, record and configuration.

    Of the recall list in force the tiles that it names are counted. Where a base lies alone, tiles and
    sectors of a store are left out, and no database is opened.

    Changed verdicts are stored tiles that the sectors and rules of now judge otherwise than the gate did when
    they were written, each as of that time. When a part does not answer, its reason and the other parts are
    shown, and the exit code is 1. Passwords are never shown.
    """
    check_map_file(map_file, session.config)
    with session.existing_runtime("base") as runtime:
        has_store = session.config.has_store
        if map_file is not None and not has_store:
            raise BadInputError(
                f"no store in {session.config.root} whose tiles --map could draw", remedy="leave --map out"
            )
        parts: dict[str, Callable[[Runtime], dict[str, Any]]] = {
            "clock": _clock,
            "tiles": _tiles,
            "sectors": _sectors,
            "index": _index,
            "base": _base,
            "recall": _recall,
            "record": _record,
        }
        facts: dict[str, Any] = {
            name: _answer(part, runtime, session) if has_store or name not in _OF_A_STORE else None
            for name, part in parts.items()
        }
    drawn: list[ZoomCoverage] = facts["tiles"].get("coverage", []) if has_store else []
    if drawn:
        facts["tiles"]["coverage"] = coverage_facts(drawn)
    loaded = session.loaded
    facts["configuration"] = loaded.config.describe()
    if as_json:
        write_json({**facts, "configuration_origins": dict(loaded.origins)})
    else:
        _print(facts, loaded.origins)
    if map_file is not None and "coverage" in facts["tiles"]:
        from ..coverage_map import write_map

        write_map(map_file, drawn)
    failed = [name for name, part in facts.items() if part is not None and "error" in part]
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
    used, budget = runtime.rows.disk_usage(), runtime.tiles_budget
    free_bytes = budget.max_bytes - used.footprint_bytes
    sources: Counter[str] = Counter()
    zooms: Counter[int] = Counter()
    for (source, zoom_level), count in runtime.rows.counts().items():
        sources[source.value] += count
        zooms[zoom_level] += count
    counted = runtime.rows.counts_by_dataset()
    without_dataset = counted.pop(None, 0)
    facts = {
        "count": sum(sources.values()),
        "by_source": dict(sorted(sources.items())),
        "by_dataset": dict(sorted((name, count) for name, count in counted.items() if name is not None)),
        "without_dataset": without_dataset,
        "by_zoom": {str(zoom_level): count for zoom_level, count in sorted(zooms.items())},
        "coverage": coverage_of(runtime.rows.tile_runs()),
        "disk_bytes": used.disk_bytes,
        "footprint_bytes": used.footprint_bytes,
        "budget_bytes": budget.max_bytes,
        "over_budget_bytes": max(0, -free_bytes),
        "onboard_footprint_bytes": used.onboard_footprint_bytes,
        "onboard_share_bytes": budget.onboard_bytes,
        "onboard_room_bytes": max(0, min(budget.onboard_bytes - used.onboard_footprint_bytes, free_bytes)),
        "pinned": len(runtime.metadata_store.pinned_tiles()),
        "free_disk_bytes": shutil.disk_usage(runtime.config.root).free,
    }
    try:
        runtime.refuse_missing_tiles()
    except StoreUnavailableError as error:
        facts |= {"error": str(error), "remedy": error.remedy}
    return facts


def _sectors(runtime: Runtime) -> dict[str, Any]:
    classifications = Counter(s.classification.value for s in runtime.sector_store.sectors())
    rules = runtime.sector_store.rules()
    return {
        "count": sum(classifications.values()),
        "by_classification": dict(sorted(classifications.items())),
        "rules_max_age_seconds": {rule.classification.value: rule.max_age.total_seconds() for rule in rules},
        "changed_verdicts": _changed_verdicts(
            runtime, min((rule.max_age for rule in rules), default=timedelta(0))
        ),
    }


def _changed_verdicts(runtime: Runtime, always_fresh: timedelta) -> dict[str, int]:
    """Stored tiles that the sectors and rules of now judge otherwise, each as of the time of its write."""
    stored = runtime.rows.labels(always_fresh)
    changed = count_changed_verdicts(stored, runtime.freshness_gate.verdict_on)
    return {
        "count": sum(changed.values()),
        **{f"to_{decision.name.lower()}": changed[decision] for decision in FreshnessDecision},
    }


def _index(runtime: Runtime) -> dict[str, Any]:
    try:
        sealed = runtime.sealed_index
        opened: SearchableIndex = runtime.descriptor_index if sealed is None else sealed
    except RuntimeNotAvailableError as error:  # a part that was left out on purpose is no failure
        return {"generation": None, "switched_off": str(error)}
    if sealed is None and runtime.index_builder.generations.current() is None:
        return {"generation": None}
    metadata = opened.metadata()
    agreement, changed = runtime.compare_searched_index()
    facts = index_facts(metadata.generation, metadata) | agreement_facts(agreement) | contents_facts(changed)
    facts["in_base"] = sealed is not None
    if agreement.none_is_known:
        failure = nothing_known(agreement)
        facts |= {"error": str(failure), "remedy": failure.remedy}
    return facts


def _base(runtime: Runtime) -> dict[str, Any]:
    name = runtime.base_generations.current()
    if name is None:
        return {"generation": None, "layered": runtime.config.base.layered}
    has_twins = runtime.config.base.layered and runtime.config.has_store
    opened = runtime.base_generations.manifest(name, runtime.base_trust)
    return {
        "generation": name,
        "layered": runtime.config.base.layered,
        "tiles": opened.manifest.tiles,
        "twins_in_store": runtime.count_base_twins() if has_twins else None,
        "trusted": opened.is_trusted,
        "recall_number": opened.manifest.recall_number,
        "disk_bytes": runtime.base_generations.total_bytes(),
    }


def _recall(runtime: Runtime) -> dict[str, Any]:
    in_force = runtime.recall_lists.read()
    if in_force is None:
        return {"number": None}
    return {
        "number": in_force.recalls.number,
        "reason": in_force.recalls.reason,
        "signed_by": len(in_force.signers),
        **runtime.count_recalled(in_force.recalls),
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
    from ...config.settings import in_toml

    for name in ("clock", "tiles", "sectors", "index", "base", "recall", "record"):
        write_line(f"{name}:")
        part = facts[name]
        if part is None:
            write_line("  no store here")
            continue
        if part.keys() == {"error", "remedy"}:
            write_line(f"  does not answer: {one_line(part['error'])}")
            continue
        write_facts({f"  {key}": _shown(key, value) for key, value in part.items() if key != "coverage"})
        if "coverage" in part:
            write_coverage(part["coverage"])
    write_line("configuration (what is not a default):")
    write_facts(
        {
            f"  {name}": f"{in_toml(value)}  ({origins[name]})"
            for name, value in facts["configuration"].items()
            if origins[name] != "default" or name == "root"
        }
    )


def _shown(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(key, inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "changed_tiles" and value is None:
        return "can't be compared: describe the tiles and build the index anew"
    if key.endswith("bytes"):
        return in_words(value)
    if key.endswith("_seconds"):
        return f"{value / 86_400:g} days"
    return value
