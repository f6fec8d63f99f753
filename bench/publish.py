"""Put the figures of one run or more into docs/performance.md, and its picture beside it.

    python bench/publish.py bench-output
    python bench/publish.py first-run second-run --growth run-of-scale

Each argument is the output folder of a run; the picture is the first one's.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from harness.page import with_figures

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> int:
    """Read the runs, write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--growth", type=Path, metavar="FOLDER", help="of a run with growth curves")
    arguments = parser.parse_args()
    growth = _run(arguments.growth) if arguments.growth is not None else None
    page = DOCS / "performance.md"
    runs = [_run(folder) for folder in arguments.runs]
    page.write_text(with_figures(page.read_text(encoding="utf-8"), runs, growth), encoding="utf-8")
    (DOCS / "performance.png").write_bytes((arguments.runs[0] / "bench.png").read_bytes())
    return 0


def _run(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    sys.exit(main())
