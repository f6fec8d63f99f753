"""Open a store in a process of its own and print what it took, as JSON.

python bench/probes/open_store.py ROOT DSN
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import psycopg  # noqa: F401 # what an open imports is no part of an open

from aerotile import AerotileConfig, build_tile_store
from aerotile.adapters import filesystem, postgres, rtree  # noqa: F401
from aerotile.adapters.config import DatabaseConfig
from aerotile.adapters.secret import Secret


def anonymous_bytes() -> int:
    """This process's memory that no file backs."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/smaps_rollup says nothing about anonymous memory")


def main() -> None:
    """Open, measure, print."""
    root, dsn = sys.argv[1:]
    config = AerotileConfig(root=Path(root), database=DatabaseConfig(dsn=Secret(dsn)))
    gc.collect()
    before = anonymous_bytes()
    started = time.perf_counter()
    store = build_tile_store(config)
    seconds = time.perf_counter() - started
    gc.collect()
    facts = {
        "seconds": seconds,
        "anonymous_bytes": anonymous_bytes() - before,
        "store": type(store).__name__,
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
