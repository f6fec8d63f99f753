"""`aerotile index build`."""

from __future__ import annotations

from pathlib import Path

import click

from ...input_files.descriptor_files import read_described_tiles
from ..arguments import EXISTING_FILE
from ..command import AerotileCommand
from ..output import in_words, json_option, write_facts, write_json
from ..progress import progress_bar
from ..session import Session
from .index import print_generation


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
    The generation in use stays until the new one is whole and durable; it remains for a rollback.

    Descriptors that numpy.savez wrote as float32 are read from the file during the build: don't change the
    file. A build that would take more memory than is available is refused before it starts.
    """
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
        print_generation(builder.generations.current(), metadata, as_json=as_json)
