"""`aerotile base ...`: the group, and the facts that its commands print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from ....domain.values.counted import counted
from ..command import LazyGroup
from ..errors import BadInputError
from ..output import in_words, write_facts, write_json

if TYPE_CHECKING:
    from ...composition import Runtime
    from ...sealed_base.generations import SignedManifest

COMMANDS = {
    "keygen": ("base_keygen", "Make a key pair that signs bases."),
    "seal": ("base_seal", "Write a generation from the tiles of the store."),
    "sign": ("base_sign", "Add a signature to a generation."),
    "verify": ("base_verify", "Hash every byte of a generation."),
    "list": ("base_list", "List the generations on the disk."),
    "info": ("base_info", "Show a generation, and whose signatures it has."),
    "switch": ("base_switch", "Make a generation the one in use."),
    "export": ("base_export", "Copy a generation to a stick, or from one."),
    "import": ("base_import", "Add a generation from one file."),
    "rollback": ("base_rollback", "Go back to an older generation."),
    "keys": ("base_keys", "Replace the keys whose signatures count."),
}


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def base() -> None:
    """Seal, sign, verify and switch the base that a flight takes along."""


def chosen_generation(runtime: Runtime, name: str | None) -> str:
    """The generation that an operator names, by default the one in use. Raises `BadInputError`."""
    names = runtime.base_generations.names()
    if name is None:
        name = runtime.base_generations.current()
        if name is None:
            raise BadInputError("no generation of the base is in use", remedy=_one_of(names))
    if name not in names:
        raise BadInputError(f"no generation {name!r}", remedy=_one_of(names))
    return name


def _one_of(names: Sequence[str]) -> str:
    return f"name one of {', '.join(names)}" if names else "seal one with aerotile base seal"


def base_facts(opened: SignedManifest, *, threshold: int, in_use: bool) -> dict[str, Any]:
    """The facts of a generation, as JSON shows them."""
    manifest = opened.manifest
    return {
        "generation": manifest.name,
        "in_use": in_use,
        "tiles": manifest.tiles,
        "different_tiles": manifest.contents,
        "bytes": sum(file.size for file in manifest.files.values()),
        "area": [[box.min_lon, box.min_lat, box.max_lon, box.max_lat] for box in manifest.boxes],
        "zooms": list(manifest.zooms),
        "prefer": list(manifest.prefer),
        "datasets": [sealed.facts() for sealed in manifest.datasets],
        "tiles_without_dataset": manifest.tiles - sum(sealed.tiles for sealed in manifest.datasets),
        "left_out": manifest.left_out,
        "index": None if manifest.index is None else attrs.asdict(manifest.index),
        "flights": len(manifest.variants.flights),
        "sealed_by": f"aerotile {manifest.aerotile}",
        "made_with": manifest.made_with,
        "recall_number": manifest.recall_number,
        "manifest_sha256": opened.identity,
        "signed_by": list(opened.signers),
        "signatures_needed": threshold,
        "trusted": opened.is_trusted,
    }


def print_base(facts: dict[str, Any], *, as_json: bool) -> None:
    """Print the facts of a generation, as JSON or one a line."""
    if as_json:
        write_json(facts)
        return
    lists = {
        name: ", ".join(map(str, value)) or "-" for name, value in facts.items() if isinstance(value, list)
    }
    datasets = "; ".join(
        f"{each['name']} ({counted(each['tiles'], 'tile')}, {each['licence']}, {each['attribution']})"
        for each in facts["datasets"]
    )
    left_out = ", ".join(f"{count} {reason}" for reason, count in facts["left_out"].items()) or "none"
    write_facts(
        facts
        | lists
        | {
            "bytes": in_words(facts["bytes"]),
            "datasets": datasets or "none",
            "left_out": left_out,
            "made_with": ", ".join(f"{name} {text}" for name, text in facts["made_with"].items()) or "-",
            "index": "none" if facts["index"] is None else _index_line(facts["index"]),
            "in_use": "yes" if facts["in_use"] else "no",
            "trusted": "yes" if facts["trusted"] else "NO",
        }
    )


def _index_line(index: dict[str, Any]) -> str:
    return (
        f"{counted(index['descriptors'], 'descriptor')} of {counted(index['tiles'], 'tile')} by "
        f"{index['descriptor_model']}, "
        f"{index['dropped']} of tiles not taken were dropped"
    )


def print_opened(runtime: Runtime, opened: SignedManifest, *, as_json: bool) -> None:
    """Print the facts of a generation, and whether it is in use."""
    name = opened.manifest.name
    facts = base_facts(
        opened,
        threshold=runtime.base_trust.threshold,
        in_use=runtime.base_generations.current() == name,
    )
    print_base(facts, as_json=as_json)
