"""Measure every path of the target table beside its floor and its peers, and say which targets were met.

    python bench/run.py                    every row, with the sizes of the targets
    python bench/run.py --quick            smaller data, wider tolerance, short growth curves
    python bench/run.py --scale            a store of up to a million tiles, a large raster, and growth curves
    python bench/run.py --only P-1 P-5     these rows

Exit code 3 when a target was missed, 1 when a subject failed. See bench/README.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import attrs
from harness.run import Plan, run
from harness.workshop import FULL, QUICK, SCALE
from paths import GROWTH, PATHS

DATA = "aerotile-bench-data"
SCALE_ROWS = ["P-5", "P-13", "P-19", "P-20"]
"""The rows over the whole catalogue and the whole raster, and the seal for its memory. Every growth curve is
of a run of `--scale`, too."""


def main() -> int:
    """One run."""
    arguments = read_arguments()
    data: Path = arguments.output / DATA
    shutil.rmtree(data, ignore_errors=True)  # of a run that was killed
    rows = SCALE_ROWS if arguments.scale and arguments.only is None else arguments.only
    sizes = QUICK if arguments.quick else SCALE if arguments.scale else FULL
    plan = Plan(
        paths=tuple(path for path in PATHS if wanted(path.id, rows)),
        curves=tuple(curve for curve in GROWTH if wanted(curve.id, arguments.only)),
        output=arguments.output,
        data=data,
        sizes=attrs.evolve(sizes, raster_pixels=arguments.raster or sizes.raster_pixels),
        blocks=arguments.blocks,
        whole=rows is None,
        on_jetson=arguments.jetson,
        dsn=arguments.dsn,
    )
    try:
        return run(plan)
    finally:
        if not arguments.keep:
            shutil.rmtree(data, ignore_errors=True)


def wanted(row: str, only: list[str] | None) -> bool:
    """Whether a row was asked for; "P-2" asks for "P-2 kept" too."""
    return only is None or any(row == name or row.startswith(f"{name} ") for name in only)


def read_arguments() -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="smaller data, wider tolerance")
    sizes.add_argument("--scale", action="store_true", help="up to a million tiles, only where it matters")
    parser.add_argument("--jetson", action="store_true", help="record what a Jetson says of itself")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows of the target table, e.g. P-1 P-5")
    parser.add_argument("--blocks", type=int, metavar="N", help="so many blocks of each row")
    parser.add_argument("--raster", type=int, metavar="PIXELS", help="width and height of P-20's raster")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder of report and data")
    parser.add_argument("--dsn", help="a PostgreSQL to use in place of the embedded one")
    parser.add_argument("--keep", action="store_true", help="leave the data there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
