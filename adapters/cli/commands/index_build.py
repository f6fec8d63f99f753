"""`aerotile index build`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...input_files.descriptor_files import read_described_model, read_described_tiles
from ..arguments import EXISTING_FILE
from ..command import AerotileCommand
from ..errors import BadInputError
from ..output import in_words, json_option, write_facts, write_json
from ..progress import progress_bar
from ..session import Session
from .index import agreement_facts, agreement_line, nothing_known, print_generation

if TYPE_CHECKING:
    from ....domain.policies.index_agreement import IndexAgreement
    from ....domain.values.tiles import TileId
    from ...composition import Runtime


@click.command(
    cls=AerotileCommand,
    epilog="""\b
Example:
  aerotile index build descriptors.npz
The file is written by aerotile describe. With --model NAME it may come from elsewhere:
  numpy.savez("descriptors.npz", tiles=["imported/5/16/10", ...], descriptors=array)
""",
)
@click.argument("file", type=EXISTING_FILE)
@click.option(
    "--model",
    metavar="NAME",
    help="Name of the network that made the descriptors; a query must come from the same.  "
    "[default: as FILE says, where aerotile describe wrote it]",
)
@click.option(
    "--estimate", is_flag=True, help="Print how much memory the build takes at most, and build nothing."
)
@click.option(
    "--no-store-check",
    is_flag=True,
    help="Don't compare the tiles with the store, on a machine that has none; status and verify do it later.",
)
@json_option
@click.pass_obj
def build(
    session: Session, file: Path, model: str | None, estimate: bool, no_store_check: bool, as_json: bool
) -> None:
    """Build a new generation of the descriptor index and switch to it.

    FILE is a .npz with the arrays `tiles` (tile ids as text) and `descriptors` (float32, one row for each).
    The generation in use stays until the new one is whole and durable; it remains for a rollback.

    A tile may come several times, with descriptors of other headings, seasons or scales: a search names it
    once. Tiles that are not in the store are counted; when none of them is, nothing is built.

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
        model = _model(file, model)
        agreement = None if no_store_check else _compare(runtime, tile_ids)
        if agreement is not None and agreement.none_is_known:
            raise nothing_known(agreement)
        if agreement is not None and agreement.unknown_tiles:
            click.echo(f"warning: {agreement_line(agreement)}", err=True)
        with progress_bar("descriptors", len(tile_ids)) as advance:
            metadata = builder.rebuild(
                tile_ids,
                descriptors,
                descriptor_model=model,
                built_at=runtime.clock.now(),
                progress=advance,
            )
        more = {} if agreement is None else agreement_facts(agreement)
        print_generation(builder.generations.current(), metadata, as_json=as_json, more=more)


def _model(file: Path, given: str | None) -> str:
    """The network's name, by the file or by the option; both must agree."""
    stated = read_described_model(file)
    if stated is not None and given not in (None, stated):
        raise BadInputError(
            f"{file} has descriptors of {stated!r}, not of {given!r}", remedy="leave --model out"
        )
    if stated is None and given is None:
        raise BadInputError(f"{file} does not say which network made it", remedy="say it with --model NAME")
    return stated or str(given)


def _compare(runtime: Runtime, tile_ids: Sequence[TileId]) -> IndexAgreement:
    """Compare the tiles to be indexed with the store, before the hours that a build may take."""
    import numpy as np

    from ....domain.values.tile_key import VariantTable, encode_tile_key

    variants = VariantTable.naming(tile_ids)
    keys = np.fromiter((encode_tile_key(t, variants) for t in tile_ids), np.int64, count=len(tile_ids))
    return runtime.compare_index(keys, variants)
