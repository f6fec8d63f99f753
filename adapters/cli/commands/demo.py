"""`aerotile demo`."""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....domain.errors import RuntimeNotAvailableError
from ..arguments import WholeRange
from ..command import command
from ..errors import INTERRUPTED, BadInputError
from ..output import in_words, json_option, write_json, write_line, write_table
from ..progress import progress_bar
from ..session import Session

if TYPE_CHECKING:
    from ....domain.values.upload_reports import UploadListEntry
    from ...demo.demonstration import Demonstration
    from ...demo.figures import Samples
    from ...demo.prior import PhaseLog


@command("aerotile demo", "aerotile demo --frames 60 --folder /tmp/flight")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-output"),
    show_default=True,
    help="Folder of the base and the picture; those of an earlier run are replaced.",
)
@click.option(
    "--frames",
    type=WholeRange(min=20, max=5000),
    default=240,
    show_default=True,
    help="How many frames are taken along the route.",
)
@click.option("--seed", type=WholeRange(0), default=1, show_default=True, help="Seed of the frames' errors.")
@json_option
@click.pass_obj
def demo(session: Session, folder: Path, frames: int, seed: int, as_json: bool) -> None:
    """Prepare, seal and sign a base from real imagery, fly by it, and upload the tiles of the flight.

    The base is prepared by the commands of an operator, which are shown, from a GeoTIFF to the go of
    `aerotile ready`; their files lie in the folder. Imagery: NASA Blue Marble. The database is a real
    PostgreSQL of the demo's own, which is killed during the flight. The tiles are uploaded to the reference
    provider, over a link that breaks.
    """
    if session.root is not None or session.config_file is not None:
        raise BadInputError(
            "the demo makes a store of its own, so --root and --config do nothing",
            remedy="say with --folder where it goes",
        )
    # The descriptor's matrices are small: on a busy machine, more threads slow each other down.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from ...demo.demonstration import demonstrate
    except ModuleNotFoundError as error:
        raise RuntimeNotAvailableError(
            f"the demo needs the package {error.name}, which is not installed",
            remedy="pip install aerotile[demo]",
        ) from error

    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        shown = demonstrate(
            folder, frames=frames, seed=seed, run=_run_shown, bar=progress_bar, say=write_line
        )
    if as_json:
        write_json(_facts(shown))
    else:
        _print(shown)


def _run_shown(arguments: Sequence[str], with_output: bool) -> int:
    """Show a command and run it, with its output or without; that of one that fails is always shown."""
    from ..program import main

    write_line(f"$ aerotile {shlex.join(arguments)}")
    hidden = io.StringIO()
    with nullcontext() if with_output else redirect_stdout(hidden):
        code = main(arguments)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        click.echo(hidden.getvalue(), nl=False)
    if with_output:
        write_line("")
    return code


def _paths(shown: Demonstration) -> list[tuple[str, Samples]]:
    log = shown.log
    return [
        ("describe a frame (the demo's own descriptor)", log.describe),
        ("search, k = 5", log.search),
        ("read a tile's pixels", log.read),
        ("lookup: search and 5 reads with verdicts", log.lookup),
        ("decode a tile's JPEG", log.decode),
        ("write a tile, every gate, durable", log.write),
    ]


def _counts(shown: Demonstration) -> dict[str, Any]:
    base, log, landing = shown.base, shown.log, shown.landing
    took = base.seconds
    index = "no index" if base.index is None else f"{base.index.descriptors} descriptors"
    return {
        "tiles in the base": len(base.tile_ids),
        "base size": in_words(base.store_bytes),
        "raster warped, cut and brought in": f"{took['provision']:.1f} s",
        "descriptor learned": f"{took['learn']:.1f} s",
        "tiles described and indexed, twice": f"{took['describe'] + took['index']:.1f} s",
        "bases sealed, signed, switched to and verified": f"2 in {took['seal']:.1f} s, "
        f"the second of {base.sealed_tiles} tiles and {index}",
        "tiles missing for the route, before and after": f"{base.holes}, 0",
        "frames flown": f"{len(log.frames)} in {shown.flight_s:.1f} s",
        "frames over land": log.land_frames,
        "top-1 hit rate over land": _percent(shown.top_1),
        "top-5 hit rate over land": _percent(shown.top_5),
        "onboard tiles written": len(log.onboard),
        "of these refused first, stored when the database was back": log.writes_after_outage,
        "stale tiles refused (active_conflict)": len(log.stale_refused),
        "stale tiles downgraded (stable_rear)": len(log.stale_downgraded),
        "onboard tiles refused, their share of the budget was full": log.onboard_without_room,
        "tiles of the map evicted from the store, still in the base": len(shown.evicted),
        "disk used of budget": f"{shown.used_bytes} of {shown.budget_bytes} bytes",
        "tiles read while the database was dead": log.reads_in_outage,
        "writes refused meanwhile": log.writes_refused,
        "tiles uploaded, held by the provider with our hash": landing.held_by_provider,
        "tiles given up": ", ".join(_given_up(entry) for entry in landing.given_up) or 0,
        "upload": f"requests that arrived: {landing.requests}, connections: {landing.connections}, "
        f"runs: {landing.runs}, {shown.upload_s:.1f} s",
    }


def _given_up(entry: UploadListEntry) -> str:
    reason = "" if entry.last_reason is None else f" ({entry.last_reason.detail})"
    return f"{entry.tile.tile_id} after {entry.tile.upload_attempts} attempts{reason}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


_PRIOR_HEADER = (
    *("the aircraft's place is", "frames over land"),
    *("top-1 within it", "top-5 within it", "p50 us", "top-1 without", "top-5 without", "p50 us"),
)


def _prior_rows(shown: Demonstration) -> list[tuple[Any, ...]]:
    return [
        (
            phase.value,
            log.land_frames,
            *map(_percent, log.rates(log.within)),
            _microseconds(log.search_within, 0.5),
            *map(_percent, log.rates(log.whole)),
            _microseconds(log.search_whole, 0.5),
        )
        for phase, log in shown.log.phases.items()
    ]


def _prior_facts(log: PhaseLog) -> dict[str, Any]:
    (within_1, within_5), (whole_1, whole_5) = log.rates(log.within), log.rates(log.whole)
    return {
        "land_frames": log.land_frames,
        "within_prior": {
            "top_1": within_1,
            "top_5": within_5,
            "p50_microseconds": log.search_within.percentile(0.5),
        },
        "whole_index": {
            "top_1": whole_1,
            "top_5": whole_5,
            "p50_microseconds": log.search_whole.percentile(0.5),
        },
    }


def _print(shown: Demonstration) -> None:
    write_line("")
    write_table(("what happened", ""), list(_counts(shown).items()))
    write_line("")
    write_table(_PRIOR_HEADER, _prior_rows(shown))
    write_line("")
    rows = [
        (name, len(samples), _microseconds(samples, 0.5), _microseconds(samples, 0.99))
        for name, samples in _paths(shown)
    ]
    write_table(("path", "times", "p50 us", "p99 us"), rows)
    write_line("")
    events = ", ".join(f"{count} {kind}" for kind, count in sorted(shown.record_kinds.items()))
    write_line(f"flight record: {shown.record_folder} ({events}; {shown.record_damaged_lines} damaged lines)")
    write_line(f"picture:       {shown.picture}")
    write_line(f"took {shown.total_s:.1f} s; imagery: NASA Blue Marble")


def _microseconds(samples: Samples, share: float) -> float | None:
    value = samples.percentile(share)
    return None if value is None else round(value, 1)


def _facts(shown: Demonstration) -> dict[str, Any]:
    return {
        **{name.replace(" ", "_"): value for name, value in _counts(shown).items()},
        "top_1": shown.top_1,
        "top_5": shown.top_5,
        "holes": shown.base.holes,
        "priors": {phase.name.lower(): _prior_facts(log) for phase, log in shown.log.phases.items()},
        "paths": {
            name: {
                "count": len(samples),
                "p50_microseconds": samples.percentile(0.5),
                "p99_microseconds": samples.percentile(0.99),
            }
            for name, samples in _paths(shown)
        },
        "record_kinds": dict(shown.record_kinds),
        "record_folder": str(shown.record_folder),
        "picture": str(shown.picture),
        "total_s": shown.total_s,
    }
