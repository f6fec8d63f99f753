"""Seals generations and switches to them, until its power is cut.

Usage: base_sealer.py ROOT SEED INDEX (a folder for the index that is sealed along). Says `sealed NAME`
and `switched NAME` when each is durable by its word.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

import attrs
import numpy as np
from sealed_bases import CAPTURED_AT, NOBODY, source_of, square, writer_of

from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.seal_plan import SealPlan


def say(line: str) -> None:
    # One write for a line: what was said is said, whatever happens next.
    os.write(1, f"{line}\n".encode())


def main() -> None:
    root, seed = Path(sys.argv[1]), int(sys.argv[2])
    generations = BaseGenerations(root)
    tiles = square(5)
    index = FaissDescriptorIndex(Path(sys.argv[3]), threads=1, warm_up=False)
    vectors = np.random.default_rng(seed).normal(size=(len(tiles), 16)).astype(np.float32)
    index.rebuild([row.tile_id for row, _ in tiles], vectors, descriptor_model="net", built_at=CAPTURED_AT)
    say("ready")
    for number in count(seed):
        source = source_of(tiles[: 9 + number % 16])
        if number % 2:
            source = attrs.evolve(source, write_index=writer_of(index))
        name = generations.seal(source, SealPlan()).name
        say(f"sealed {name}")
        generations.switch_to(name, NOBODY, require_signature=False)
        say(f"switched {name}")
        for old in generations.names()[:-3]:  # for room only
            with generations.locked():
                generations.remove(old)


if __name__ == "__main__":
    main()
