"""What is in memory: the catalogue of a million tiles, and an index of 100,000 descriptors of 512 numbers.

    python bench/memory.py
    python bench/memory.py --tiles 100000 --descriptors 10000 --json

Each is opened in a process of its own, in which what it imports is there before; the figures are what the
opening added, resident and anonymous (that no file backs), from /proc/self/smaps_rollup.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.linked_store import linked_config
from harness.workshop import QUICK, Workshop

PROBES = Path(__file__).resolve().parent / "probes"
DIMENSION = 512


def main() -> int:
    """Run once and print what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--descriptors", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the data goes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="aerotile-memory-", dir=arguments.folder))
    workshop = Workshop(folder, QUICK)
    try:
        facts = {
            "store": store_memory(workshop, arguments.tiles),
            "index": built_index_memory(folder / "index-root", arguments.descriptors),
        }
    finally:
        workshop.close()
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps(facts, indent=2) + "\n" if arguments.json else describe(facts) + "\n")
    return 0


def store_memory(workshop: Workshop, tiles: int) -> dict[str, Any]:
    """What an open store of so many tiles has, and how much of that an empty one has too."""
    found = probe("open_store.py", *_store_arguments(workshop, tiles))
    empty_config = workshop.config("memory empty")
    dsn = empty_config.database.dsn
    assert dsn is not None
    empty = probe("open_store.py", str(empty_config.root), dsn.reveal())
    return {
        "tiles": tiles,
        **found,
        "empty_rss_bytes": empty["rss_bytes"],
        "empty_anonymous_bytes": empty["anonymous_bytes"],
        "bytes_per_tile": (found["anonymous_bytes"] - empty["anonymous_bytes"]) / tiles,
    }


def _store_arguments(workshop: Workshop, tiles: int) -> tuple[str, str]:
    config = linked_config(workshop, tiles)
    dsn = config.database.dsn
    assert dsn is not None
    return str(config.root), dsn.reveal()


def built_index_memory(root: Path, descriptors: int) -> dict[str, Any]:
    """What an index of so many descriptors has, built in a process of its own, too."""
    probe("build_index.py", str(root), str(descriptors), str(DIMENSION))
    return index_memory(root, descriptors, DIMENSION)


def index_memory(root: Path, descriptors: int, dimension: int) -> dict[str, Any]:
    """What the index below `root` has when it is open."""
    return {"descriptors": descriptors, "dimension": dimension, **probe("open_index.py", str(root))}


def probe(name: str, *arguments: str) -> dict[str, Any]:
    """Run a probe in a process of its own and return what it found. Raises `RuntimeError` when it failed."""
    done = subprocess.run(
        [sys.executable, str(PROBES / name), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed:\n{done.stderr}")
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def describe(facts: dict[str, Any]) -> str:
    """The figures in sentences."""
    store, index = facts["store"], facts["index"]
    return (
        f"{store['tiles']} tiles: {_mb(store['rss_bytes'])} resident, {_mb(store['anonymous_bytes'])} "
        f"anonymous; an empty store {_mb(store['empty_rss_bytes'])} and "
        f"{_mb(store['empty_anonymous_bytes'])}; {store['bytes_per_tile']:.1f} bytes per tile\n"
        f"{index['descriptors']} descriptors of {index['dimension']}: {_mb(index['rss_bytes'])} resident, "
        f"{_mb(index['anonymous_bytes'])} anonymous, first answer included"
    )


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
