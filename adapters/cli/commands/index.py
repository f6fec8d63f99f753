"""`aerotile index build|info|generations|rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..arguments import EXISTING_FILE
from ..command import AerotileCommand, LazyGroup
from ..output import in_words, json_option, write_facts, write_json, write_line, write_table
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.descriptors import IndexMetadata

COMMANDS = {
    "build": ("index", "Build a new generation from descriptors."),
    "info": ("index", "Show the generation in use."),
    "generations": ("index", "List the generations that are kept."),
    "rollback": ("index", "Go back to an older generation."),
}


@click.command(cls=LazyGroup, commands_table=COMMANDS, package=__package__)
def index() -> None:
    """Build, inspect and switch the descriptor index."""


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile index build descriptors.npz --model megaloc-512
The file is written by
  numpy.savez("descriptors.npz", tiles=["imported/5/16/10", ...], descriptors=array)
""",
)
@click.argument("file", type=EXISTING_FILE)
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help="Name of the network that made the descriptors; a query must come from the same.",
)
@click.option(
    "--estimate", is_flag=True, help="Print how much memory the build takes at most, and build nothing."
)
@json_option
@click.pass_obj
def build(session: Session, file: Path, model: str, estimate: bool, as_json: bool) -> None:
    """Build a new generation of the descriptor index and switch to it.

    FILE is a .npz with the arrays `tiles` (tile ids as text) and `descriptors` (float32, one row per tile).
    The generation in use stays until the new one is whole and durable, and is kept for a rollback.

    Descriptors that numpy.savez wrote as float32 are read from the file as they are needed; leave it alone
    meanwhile. A build that would take more memory than there is is refused before it starts.
    """
    from ...input_files.descriptor_files import read_described_tiles
    from ..progress import progress_bar

    tile_ids, descriptors = read_described_tiles(file)
    with session.runtime() as runtime:
        builder = runtime.index_builder
        if estimate:
            count, dimension = descriptors.shape
            memory = builder.build_memory_bytes(count, dimension)
            facts = {"count": count, "dimension": dimension, "memory_bytes": memory}
            if as_json:
                write_json(facts)
            else:
                write_facts(facts | {"memory_bytes": in_words(memory)})
            return
        with progress_bar("descriptors", len(tile_ids)) as advance:
            metadata = builder.rebuild(
                tile_ids,
                descriptors,
                descriptor_model=model,
                built_at=runtime.clock.now(),
                progress=advance,
            )
        _print(builder.generations.current(), metadata, as_json=as_json)


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile index info --json
""",
)
@json_option
@click.pass_obj
def info(session: Session, as_json: bool) -> None:
    """Open the generation in use, check it against its hash and metadata, and show what it is."""
    with session.existing_runtime("index") as runtime:
        metadata = runtime.descriptor_index.metadata()
        _print(runtime.index_builder.generations.current(), metadata, as_json=as_json)


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile index generations
""",
)
@json_option
@click.pass_obj
def generations(session: Session, as_json: bool) -> None:
    """List the generations that are kept, oldest first, and mark the one in use."""
    with session.existing_runtime("index") as runtime:
        kept = runtime.index_builder.generations
        current = kept.current()
        facts = [{"generation": name, "in_use": name == current} for name in kept.names()]
    if as_json:
        write_json(facts)
    elif facts:
        write_table(
            ["generation", "in use"], [[f["generation"], "yes" if f["in_use"] else ""] for f in facts]
        )
    else:
        write_line("no generation; build one with aerotile index build")


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile index rollback
  aerotile index rollback --to 000003
""",
)
@click.option("--to", "generation", metavar="GENERATION", help="Which one; default the one before.")
@json_option
@click.pass_obj
def rollback(session: Session, generation: str | None, as_json: bool) -> None:
    """Check an older generation and switch to it by one rename; nothing changes when it is damaged."""
    with session.existing_runtime("index") as runtime:
        builder = runtime.index_builder
        metadata = builder.rollback(generation)
        _print(builder.generations.current(), metadata, as_json=as_json)


def index_facts(generation: str | None, metadata: IndexMetadata) -> dict[str, Any]:
    """What is known about a generation, as JSON holds it."""
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


def _print(generation: str | None, metadata: IndexMetadata, *, as_json: bool) -> None:
    facts = index_facts(generation, metadata)
    if as_json:
        write_json(facts)
    else:
        write_facts(facts)
