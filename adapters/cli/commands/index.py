"""`aerotile index build|info|generations|rollback`: the group, and the facts that its commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import LazyGroup
from ..output import write_facts, write_json

if TYPE_CHECKING:
    from ....domain.values.descriptors import IndexMetadata

COMMANDS = {
    "build": ("index_build", "Build a new generation from descriptors."),
    "info": ("index_info", "Show the generation in use."),
    "generations": ("index_generations", "List the generations on the disk."),
    "rollback": ("index_rollback", "Go back to an older generation."),
}


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def index() -> None:
    """Build, inspect and switch the descriptor index."""


def index_facts(generation: str | None, metadata: IndexMetadata) -> dict[str, Any]:
    """The facts of a generation, as JSON shows them."""
    return {
        "generation": generation,
        "count": metadata.count,
        "dimension": metadata.dimension,
        "descriptor_model": metadata.descriptor_model,
        "metric": metadata.metric.value,
        "storage": metadata.storage.value,
        "m": metadata.params.m,
        "ef_construction": metadata.params.ef_construction,
        "ef_search": metadata.params.ef_search,
        "built_at": metadata.built_at.isoformat(),
        "sha256": metadata.sha256,
        "faiss_version": metadata.faiss_version,
        "flights": len(metadata.variants.flights),
    }


def print_generation(generation: str | None, metadata: IndexMetadata, *, as_json: bool) -> None:
    """Print the facts of a generation, as JSON or one a line."""
    facts = index_facts(generation, metadata)
    if as_json:
        write_json(facts)
    else:
        write_facts(facts)
