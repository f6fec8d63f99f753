"""Measure every path of the target table beside its floor and its peers, and say which targets were met.

    python bench/run.py                    everything, with the sizes of the targets
    python bench/run.py --quick            smaller data, wider tolerance
    python bench/run.py --only P-1 P-5

Exit code 1 when a target was missed, 3 when a subject failed. See bench/README.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import pytest
from harness.machine import machine_facts
from harness.plugin import BenchPlugin
from harness.report import any_missed, as_json, markdown, plain, rows, write_json
from harness.workshop import FULL, QUICK, Workshop
from paths import GROWTH, PATHS
from targets import QUICK_TOLERANCE

HERE = Path(__file__).resolve().parent


def main() -> int:
    """One run."""
    arguments = read_arguments()
    paths = tuple(path for path in PATHS if wanted(path.id, arguments.only))
    curves = tuple(curve for curve in GROWTH if wanted(curve.id, arguments.only))
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    data = output / "data"
    shutil.rmtree(data, ignore_errors=True)
    facts = machine_facts(output)
    workshop = Workshop(data, QUICK if arguments.quick else FULL, dsn=arguments.dsn)
    plugin = BenchPlugin(workshop, paths, () if arguments.no_growth else curves)
    try:
        ended = pytest.main(
            [
                str(HERE / "test_bench.py"),
                *("-c", str(HERE / "pytest.ini"), "--rootdir", str(HERE), "-p", "no:cacheprovider"),
                *("-q", "--no-header", "--tb=short", "--benchmark-columns=median"),
            ],
            plugins=[plugin],
        )
    finally:
        workshop.close()
        if not arguments.keep:
            shutil.rmtree(data, ignore_errors=True)
    table = rows(plugin.results, tolerance=QUICK_TOLERANCE if arguments.quick else 1.0)
    shown = [row for row in table if arguments.only is None or wanted(row.target.id, arguments.only)]
    write_json(output / "bench.json", as_json(shown, plugin.results, facts))
    (output / "bench.md").write_text(markdown(shown), encoding="utf-8")
    sys.stdout.write(plain(shown))
    if ended != pytest.ExitCode.OK:
        return 3
    return 1 if any_missed(shown) else 0


def wanted(row: str, only: list[str] | None) -> bool:
    """Whether a row was asked for; "P-2" asks for "P-2 kept" too."""
    return only is None or any(row == name or row.startswith(f"{name} ") for name in only)


def read_arguments() -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller data, wider tolerance")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows of the target table, e.g. P-1 P-5")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder of report and data")
    parser.add_argument("--dsn", help="a PostgreSQL to use in place of the embedded one")
    parser.add_argument("--keep", action="store_true", help="leave the data there")
    parser.add_argument("--no-growth", action="store_true", help="leave the growth curves out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
