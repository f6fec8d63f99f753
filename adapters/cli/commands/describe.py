"""`aerotile describe`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from ....domain.errors import DescriptorModelError
from ....domain.values.counted import counted
from ..arguments import EXISTING_FILE, WholeRange, headings
from ..command import command
from ..errors import BadInputError, JobFailedError, as_bad_input
from ..new_files import check_new_file
from ..output import json_option, write_json, write_line
from ..progress import progress_bar
from ..session import Session
from ..tile_choice import TileChoice, add_tile_choice, choose_some

if TYPE_CHECKING:
    from ....domain.describe_tiles import DescribeReport
    from ....domain.ports.descriptor_model import DescriptorModel
    from ...config.settings import DescriptorConfig


@command(
    "aerotile describe descriptors.npz --model network.onnx --zoom 16-17",
    "aerotile describe descriptors.npz --with mynetwork:describe --headings 0,90,180,270",
    "aerotile index build descriptors.npz",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--model",
    type=EXISTING_FILE,
    metavar="FILE",
    help="The network: a .onnx, or the .npz of the demo.  [default: descriptor.model]",
)
@click.option(
    "--with",
    "callable_name",
    metavar="MODULE:NAME",
    help="A Python callable in its place; the module is imported.  [default: descriptor.callable]",
)
@click.option(
    "--headings",
    "asked_headings",
    type=headings,
    metavar="LIST",
    help="Describe each tile at these headings, such as 0,90,180,270.  [default: those of the network]",
)
@add_tile_choice
@click.option(
    "--base",
    "of_base",
    is_flag=True,
    help="The tiles of the sealed base in use.  [default: those of the store, if there is one]",
)
@click.option(
    "--batch",
    type=WholeRange(1, 256),
    default=32,
    show_default=True,
    help="Pictures in a call of the network.",
)
@json_option
@click.pass_obj
def describe(
    session: Session,
    file: Path,
    model: Path | None,
    callable_name: str | None,
    asked_headings: tuple[int, ...] | None,
    choice: TileChoice,
    of_base: bool,
    batch: int,
    as_json: bool,
) -> None:
    """Describe tiles with a network, and write the descriptors to FILE for `aerotile index build`.

    An interrupted run goes on where it was: what is finished lies in FILE.partial. FILE is whole or not
    there, and nothing is replaced. Each tile is hashed. A tile that is recalled, damaged, missing or no
    picture is left out and counted, and the exit code is 1 then.
    """
    from ....domain.describe_tiles import describe_tiles, job_of, tried_dimension
    from ...exports.described_tiles import DescribedTilesFile

    plan, outside_area = choice.read()
    check_new_file(file, session.config)
    settings = _settings(session, model, callable_name)
    network = _network(settings)
    chosen_headings = asked_headings or network.headings
    with session.existing_runtime("base") as runtime:
        columns, variants, supply = runtime.tiles_to_describe(of_base=of_base or not session.config.has_store)
        chosen = choose_some(columns, variants, plan, nothing="there is no tile to describe")
        job = job_of(
            chosen,
            network,
            chosen_headings,
            providers=settings.providers,
            recalls=runtime.recall_identity(),
            batch=batch,
        )
        dimension = tried_dimension(network, session.config.tiles.tile_size_pixels)
        writer = DescribedTilesFile(file, job)
        with progress_bar("tiles", len(chosen)) as advance:
            report = describe_tiles(
                chosen,
                supply,
                network,
                writer,
                headings=chosen_headings,
                batch=batch,
                dimension=dimension,
                progress=advance,
            )
    facts = _facts(file, network, chosen_headings, report) | {
        "left_out": dict(sorted(chosen.left_out.items())),
        "left_out_of_area": dict(outside_area),
        "refused": dict(sorted(report.refused.items())),
    }
    if as_json:
        write_json(facts)
    else:
        _print(facts, report)
    if report.refused:
        raise _refusals_error(report, file)


def _settings(session: Session, model: Path | None, callable_name: str | None) -> DescriptorConfig:
    if model is not None and callable_name is not None:
        raise BadInputError("--model and --with name two networks", remedy="give one of them")
    settings = session.config.descriptor
    if model is None and callable_name is None:
        return settings
    return attrs.evolve(settings, model=model, callable=callable_name)


def _network(settings: DescriptorConfig) -> DescriptorModel:
    from ...composition.model_parts import open_descriptor_model

    with as_bad_input(DescriptorModelError):
        return open_descriptor_model(settings)


def _facts(
    file: Path, network: DescriptorModel, headings: Sequence[int], report: DescribeReport
) -> dict[str, object]:
    return {
        "file": str(file),
        "model": network.name,
        "model_sha256": network.digest,
        "headings": list(headings),
        "tiles": report.tiles,
        "descriptors": report.descriptors,
        "dimension": report.dimension,
        "taken_over": report.taken_over,
    }


def _print(facts: dict[str, object], report: DescribeReport) -> None:
    again = f", {report.taken_over} of them by an earlier run" if report.taken_over else ""
    write_line(f"{counted(report.tiles, 'tile')} described by {facts['model']}{again}")
    write_line(
        f"{counted(report.descriptors, 'descriptor')} of {report.dimension} numbers in {facts['file']}"
    )
    left_out = facts["left_out"]
    assert isinstance(left_out, dict)
    for reason, count in left_out.items():
        write_line(f"left out: {count} {reason}")


def _refusals_error(report: DescribeReport, file: Path) -> JobFailedError:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.refused.items()))
    listed = ", ".join(f"{tile_id} ({kind})" for tile_id, kind in report.listed)
    return JobFailedError(
        f"{counted(report.refused.total(), 'tile has', 'tiles have')} no descriptor in {file}: {kinds}; "
        f"such as {listed}",
        remedy="bring those tiles again (aerotile verify names damaged ones) and describe anew",
    )
