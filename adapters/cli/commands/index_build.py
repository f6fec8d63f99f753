"""`aerotile index build`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ....domain.policies.index_agreement import DescribedContents
from ....domain.values.counted import counted
from ....domain.values.descriptors import IndexKind, check_descriptor_model
from ...input_files.descriptor_files import (
    DIGESTS,
    read_described_digests,
    read_described_model,
    read_described_tiles,
)
from ..arguments import EXISTING_FILE
from ..command import command
from ..errors import BadInputError
from ..estimates import refuse_beside_estimate
from ..output import in_words, json_option, write_json, write_line, write_table
from ..progress import progress_bar
from ..session import Session
from .index import (
    agreement_facts,
    agreement_line,
    changed_since_described,
    nothing_known,
    print_generation,
    undescribed_line,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ....domain.values.catalogue_entries import Keys
    from ....domain.values.tile_key import VariantTable
    from ....domain.values.tiles import TileId
    from ...composition import Runtime
    from ...faiss.index import FaissDescriptorIndex
    from ...faiss.kinds import BuildEstimate


@command(
    "aerotile index build descriptors.npz",
    "aerotile index build descriptors.npz --estimate",
    "aerotile index build --kind hnsw_sq8",
    more="""\
The file is written by aerotile describe. With --model NAME it may come from elsewhere:
  numpy.savez("descriptors.npz", tiles=["imported/5/16/10", ...], descriptors=array)
""",
)
@click.argument("file", type=EXISTING_FILE, required=False)
@click.option(
    "--model",
    metavar="NAME",
    help="Name of the network that made the descriptors; a query must come from the same.  "
    "[default: as FILE says, where aerotile describe wrote it]",
)
@click.option(
    "--kind",
    type=click.Choice(["auto", *(kind.value for kind in IndexKind)]),
    default="auto",
    show_default=True,
    help="What the graph holds: whole vectors (hnsw), or a byte for each component, in half the memory, with "
    "the whole vectors beside it (hnsw_sq8). auto: hnsw, unless its file were above 8 GiB.",
)
@click.option(
    "--estimate",
    is_flag=True,
    help="Print memory, disk and time of each kind, and build no more than a sample for the time.",
)
@click.option(
    "--no-store-check",
    is_flag=True,
    help="Don't compare the tiles with the store, on a machine that has none; status and verify do it later.",
)
@json_option
@click.pass_obj
def build(
    session: Session,
    file: Path | None,
    model: str | None,
    kind: str,
    estimate: bool,
    no_store_check: bool,
    as_json: bool,
) -> None:
    """Build a new generation of the descriptor index and switch to it.

    FILE is a .npz with the arrays `tiles` (tile ids as text) and `descriptors` (float32, one row for each).
    Without FILE the descriptors of the generation in use are taken, as they are stored: to change the kind or
    the graph's parameters, and to give an index of before the part that searches within an area need.
    The generation in use stays until the new one is whole and durable; it remains for a rollback.

    A tile may come several times, with descriptors of other headings, seasons or scales: a search names it
    once. Tiles that are not in the store are counted, and so are stored ones without a descriptor; when none
    of the tiles is in the store, nothing is built. aerotile describe notes the bytes that each descriptor was
    made from (the array `sha256`), and the index keeps it: where the store holds other ones by now, nothing
    is built, and where they are replaced later, aerotile ready, status and verify say so.

    Descriptors that numpy.savez wrote as float32 are read from the file during the build: don't change the
    file. A build that would take more memory than is available is refused before it starts.
    """
    if estimate:
        refuse_beside_estimate(model=model, no_store_check=no_store_check)
    chosen = None if kind == "auto" else IndexKind(kind)
    if file is None and model is not None:
        raise click.UsageError("--model belongs to a FILE; the descriptors kept have a model")
    given = None if file is None else read_described_tiles(file)
    with session.runtime() as runtime:
        index = runtime.index_builder if given is not None else runtime.descriptor_index
        if estimate:
            _print_estimates(index.estimates(None if given is None else given[1], kind=chosen), as_json)
            return
        model = None if file is None else _model(file, model)
        digests = None
        if file is not None and given is not None:
            digests = read_described_digests(file, len(given[0]))
        compared = {} if no_store_check else _compare(runtime, index, file, given, digests)
        total = index.metadata().count if given is None else len(given[0])
        with progress_bar("descriptors", total) as advance:
            built_at = runtime.clock.now()
            if given is None:
                metadata = index.rebuild_kept(built_at=built_at, kind=chosen, progress=advance)
            else:
                metadata = index.rebuild(
                    *given,
                    descriptor_model=str(model),
                    built_at=built_at,
                    content_sha256=digests,
                    kind=chosen,
                    progress=advance,
                )
        print_generation(index.generations.current(), metadata, as_json=as_json, more=compared)
    if compared.get("contents_compared") is False:
        click.echo(
            f"warning: {_maker(file)} does not say from which bytes its descriptors were made ({DIGESTS}): "
            "tiles that were replaced since are not found out",
            err=True,
        )


def _compare(
    runtime: Runtime,
    index: FaissDescriptorIndex,
    file: Path | None,
    given: tuple[Sequence[TileId], Any] | None,
    digests: npt.NDArray[np.uint8] | None,
) -> dict[str, Any]:
    """Compare what is to be indexed with the store, and return it as facts; what it can't be is refused."""
    keys, variants = _keys(index, given)
    if given is None:
        contents = index.contents()
    else:
        contents = None if digests is None else DescribedContents(keys, variants, digests)
    agreement, changed = runtime.compare_index(keys, variants, contents)
    if agreement.none_is_known:
        raise nothing_known(agreement)
    if changed is not None and changed.tiles:
        raise changed_since_described(changed, _maker(file))
    if agreement.unknown_tiles:
        click.echo(f"warning: {agreement_line(agreement)}", err=True)
    if agreement.undescribed_tiles:
        click.echo(f"warning: {undescribed_line(agreement)}", err=True)
    return agreement_facts(agreement) | {"contents_compared": contents is not None}


def _maker(file: Path | None) -> str:
    """Where the descriptors come from, for a person."""
    return "the index it was built from" if file is None else str(file)


def _print_estimates(estimates: Sequence[BuildEstimate], as_json: bool) -> None:
    if as_json:
        write_json([attrs.asdict(each) | {"kind": each.kind.value} for each in estimates])
        return
    write_line(f"{counted(estimates[0].count, 'descriptor')} of {estimates[0].dimension} components")
    write_table(
        [
            "kind",
            "chosen",
            "memory to build",
            "graph, mapped",
            "by place, mapped",
            "time to build",
        ],
        [
            [
                each.kind.value,
                "yes" if each.chosen else "",
                in_words(each.build_memory_bytes),
                in_words(each.graph_bytes),
                in_words(each.place_bytes),
                f"about {each.build_seconds:.0f} s" if each.build_seconds >= 1 else "below 1 s",
            ]
            for each in estimates
        ],
    )


def _model(file: Path, given: str | None) -> str:
    """The network's name, by the file or by the option; both must agree."""
    stated = read_described_model(file)
    if stated is not None and given not in (None, stated):
        raise BadInputError(
            f"{file} has descriptors of {stated!r}, not of {given!r}", remedy="leave --model out"
        )
    if stated is None and given is None:
        raise BadInputError(f"{file} does not say which network made it", remedy="say it with --model NAME")
    name = given if stated is None else stated
    try:
        check_descriptor_model(name)
    except ValueError as error:
        raise BadInputError(f"{file if given is None else '--model'}: {error}") from error
    return str(name)


def _keys(
    index: FaissDescriptorIndex, given: tuple[Sequence[TileId], Any] | None
) -> tuple[Keys, VariantTable]:
    """The tiles to be indexed, to compare them with the store before the hours that a build may take."""
    if given is None:
        return index.tile_keys()
    import numpy as np

    from ....domain.values.tile_key import VariantTable, encode_tile_key

    tile_ids, _ = given
    variants = VariantTable.naming(tile_ids)
    keys = np.fromiter((encode_tile_key(t, variants) for t in tile_ids), np.int64, count=len(tile_ids))
    return keys, variants
