"""A process that opens a store with its embedded database and changes it until it is killed.

Usage: flight_worker.py ROOT NUMBER. Says, a JSON object a line: {"opened": COUNT}, then for each change
{"will": {tile: SHA-256, or null for a removal}} before and {"done": true} after the store confirmed it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.settings import AerotileConfig
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource


def say(facts: dict[str, Any]) -> None:
    # One write for a line: what was said is said, whatever happens next.
    os.write(1, json.dumps(facts).encode() + b"\n")


def tile_of(x: int, y: int, chance: random.Random) -> tuple[bytes, TileMetadata]:
    pixels = example_jpeg(chance.randbytes(3000))
    return pixels, example_metadata(
        TileId(20, x, y, TileSource.IMPORTED),
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.15,
    )


def main() -> None:
    root, number = Path(sys.argv[1]), int(sys.argv[2])
    logging.disable(logging.CRITICAL)
    chance = random.Random(number)
    with Runtime(AerotileConfig(root=root)) as runtime:
        store = runtime.tile_store
        say({"opened": len(runtime.tile_store)})
        mine: list[TileId] = []
        for y in count():
            tiles = [tile_of(number, y * 10 + place, chance) for place in range(chance.choice((1, 1, 1, 9)))]
            say({"will": {str(metadata.tile_id): metadata.content_sha256 for _, metadata in tiles}})
            if len(tiles) == 1:
                store.write_tile(*tiles[0])
            else:
                for outcome in store.write_tiles(tiles):
                    assert outcome.error is None
            say({"done": True})
            mine += [metadata.tile_id for _, metadata in tiles]
            if chance.random() < 0.5:
                gone = mine.pop(chance.randrange(len(mine)))
                say({"will": {str(gone): None}})
                store.delete_tile(gone)
                say({"done": True})


if __name__ == "__main__":
    main()
