"""Put the figures of one run or more into docs/performance.md, and its picture beside it.

    python bench/publish.py bench-output
    python bench/publish.py first-run second-run

Each argument is the output folder of a run; the picture is the first one's.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from harness.page import with_figures

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> int:
    """Read the runs, write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="FOLDER")
    folders = parser.parse_args().runs
    runs = [json.loads((folder / "bench.json").read_text(encoding="utf-8")) for folder in folders]
    page = DOCS / "performance.md"
    page.write_text(with_figures(page.read_text(encoding="utf-8"), runs), encoding="utf-8")
    (DOCS / "performance.png").write_bytes((folders[0] / "bench.png").read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
