"""Open a base, or what does its work, in a process of its own, up to the first answer; prints JSON.

    python bench/probes/open_base.py WAY FACTS

WAY: `base`, `mapping`, `store` or `pmtiles`; FACTS is a JSON file of what the ways need. What an open imports
is imported before, and no part of it.
"""

from __future__ import annotations

import gc
import json
import mmap
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cryptography.hazmat.bindings._rust
import faiss  # noqa: F401
import numpy as np
import psycopg_pool  # noqa: F401
import securesystemslib.dsse  # noqa: F401
from memory_of import growth, memory_bytes
from pmtiles.reader import MmapSource, Reader

import aerotile
from aerotile.adapters import composition, filesystem, postgres, rtree  # noqa: F401
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.faiss import index as faiss_index  # noqa: F401
from aerotile.adapters.recall_lists import lists  # noqa: F401
from aerotile.adapters.recorder import writer  # noqa: F401
from aerotile.adapters.sealed_base import key_lists, mapped_base, store  # noqa: F401
from aerotile.domain import find_tiles  # noqa: F401

for _name in ("AerotileConfig", "Area", "Bbox", "IndexConfig", "build_descriptor_index", "find_tiles"):
    getattr(aerotile, _name)
assert cryptography.hazmat.bindings._rust  # loaded for the check of signatures


def _touched(handle: Any) -> int:
    with handle, memoryview(handle) as pixels:
        return sum(pixels[::4096])


def _answered(facts: dict[str, Any], tiles: Any, index: Any) -> int:
    """The best tiles within the area, and their pixels."""
    area = aerotile.Area((aerotile.Bbox(*facts["bbox"]),))
    query = np.array(facts["query"], np.float32)
    found = aerotile.find_tiles(query, facts["k"], index=index, store=tiles, near=area)
    return sum(_touched(candidate.pixels) for candidate in found)


def base(facts: dict[str, Any]) -> int:
    """The sealed base, its signature checked."""
    config = aerotile.AerotileConfig(
        root=Path(facts["root"]),
        database=aerotile.DatabaseConfig(embedded_binaries=Path("nowhere")),
        base=aerotile.BaseConfig(public_keys=(facts["public_key"],)),
        index=aerotile.IndexConfig(warm_up=False),
    )
    tiles = aerotile.build_sealed_base(config)
    return _answered(facts, tiles, aerotile.build_descriptor_index(config))


def mapping(facts: dict[str, Any]) -> int:
    """The files of the same generation, mapped, and the same number of tiles touched."""
    folder, touched = Path(facts["folder"]), 0
    for path in folder.iterdir():
        with path.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        touched += sum(whole[: facts["k"] * 32_768 : 4096])
    return touched


def file_store(facts: dict[str, Any]) -> int:
    """The store of files, rows and index (P-13 and P-8)."""
    config = aerotile.AerotileConfig(
        root=Path(facts["root"]),
        database=aerotile.DatabaseConfig(dsn=Secret(facts["dsn"])),
        budget=aerotile.BudgetConfig(max_bytes=1 << 50),
    )
    tiles = aerotile.build_tile_store(config)
    return _answered(facts, tiles, aerotile.build_descriptor_index(config))


def pmtiles(facts: dict[str, Any]) -> int:
    """The archive alone, by the format's own reader: nothing is verified, judged or searched."""
    with (Path(facts["folder"]) / "tiles.pmtiles").open("rb") as file:
        reader = Reader(MmapSource(file))
        return sum(sum(reader.get(*place)[::4096]) for place in facts["places"])


WAYS: dict[str, Callable[[dict[str, Any]], int]] = {
    "base": base,
    "mapping": mapping,
    "store": file_store,
    "pmtiles": pmtiles,
}


def main() -> None:
    """Open, measure, print."""
    way, facts = sys.argv[1], json.loads(Path(sys.argv[2]).read_text("ascii"))
    gc.collect()
    before = memory_bytes()
    started = time.perf_counter()
    answer = WAYS[way](facts)
    seconds = time.perf_counter() - started
    print_facts = {"seconds": seconds, "answer": answer, **growth(before, memory_bytes())}
    sys.stdout.write(json.dumps(print_facts) + "\n")
    sys.stdout.flush()
    aerotile.close_runtimes()


if __name__ == "__main__":
    main()
