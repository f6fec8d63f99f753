"""`aerotile base keys ...`: the group, and the facts that its commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import LazyGroup
from ..output import write_facts, write_json

if TYPE_CHECKING:
    from ...sealed_base.key_lists import SignedKeyList

COMMANDS = {
    "make": ("base_keys_make", "Write a list of the keys that count from now on."),
    "sign": ("base_keys_sign", "Add a signature to a list."),
    "apply": ("base_keys_apply", "Put a signed list in force here."),
    "list": ("base_keys_list", "Show the keys in force, or a list's file."),
}


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def keys() -> None:
    """Replace the keys that sign bases, by a list that the keys before have signed."""


def list_facts(found: SignedKeyList) -> dict[str, Any]:
    """The facts of a list, as JSON shows them."""
    return {
        "number": found.keys.number,
        "public_keys": list(found.keys.public_keys),
        "threshold": found.keys.threshold,
        "list_sha256": found.identity,
        "signed_by": list(found.signers),
    }


def print_list(facts: dict[str, Any], *, as_json: bool) -> None:
    """Print the facts of a list, as JSON or one a line."""
    if as_json:
        write_json(facts)
        return
    lists = {name: ", ".join(value) or "-" for name, value in facts.items() if isinstance(value, list)}
    flags = {name: "yes" if value else "NO" for name, value in facts.items() if isinstance(value, bool)}
    write_facts(facts | lists | flags)
