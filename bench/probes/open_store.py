"""Open a store in a process of its own and print what it took, as JSON.

    python bench/probes/open_store.py ROOT DSN

What an open imports is imported before, and no part of it.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import psycopg_pool  # noqa: F401
from memory_of import growth, memory_bytes

from aerotile import AerotileConfig, build_tile_store
from aerotile.adapters import filesystem, postgres, rtree  # noqa: F401
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import DatabaseConfig
from aerotile.adapters.postgres import (  # noqa: F401
    revision,
    sector_store,
    tile_feed,
    tile_metadata,
    tile_rows,
)
from aerotile.adapters.recall_lists import lists  # noqa: F401
from aerotile.adapters.recorder import writer  # noqa: F401


def main() -> None:
    """Open, measure, print."""
    root, dsn = sys.argv[1:]
    config = AerotileConfig(root=Path(root), database=DatabaseConfig(dsn=Secret(dsn)))
    gc.collect()
    before = memory_bytes()
    started = time.perf_counter()
    store = build_tile_store(config)
    seconds = time.perf_counter() - started
    gc.collect()
    facts = {"seconds": seconds, **growth(before, memory_bytes()), "store": type(store).__name__}
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
