"""`aerotile sectors load|list`: the group."""

from __future__ import annotations

import click

from ..command import LazyGroup

COMMANDS = {
    "load": ("sectors_load", "Put the sectors of GeoJSON and KML files in place of all others."),
    "list": ("sectors_list", "List the sectors and the freshness rules."),
}


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def sectors() -> None:
    """Load and list the sectors that tiles are judged by."""
