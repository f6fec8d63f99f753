"""Open a descriptor index in a process of its own, ask it once, and print what that took, as JSON.

    python bench/probes/open_index.py ROOT

What an open imports is imported before, and no part of it.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path

import numpy as np
from memory_of import growth, memory_bytes

from aerotile import AerotileConfig, build_descriptor_index
from aerotile.adapters.faiss import index  # noqa: F401


def main() -> None:
    """Open, search, measure, print."""
    config = AerotileConfig(root=Path(sys.argv[1]))
    gc.collect()
    before = memory_bytes()
    started = time.perf_counter()
    opened = build_descriptor_index(config)
    hits = opened.search(np.ones(opened.dimension(), np.float32), 10)
    seconds = time.perf_counter() - started
    gc.collect()
    facts = {"seconds": seconds, **growth(before, memory_bytes()), "hits": len(hits)}
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
