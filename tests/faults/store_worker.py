"""One of several processes that write, delete and reopen the same store until told to stop.

Usage: store_worker.py ROOT DSN NUMBER SECONDS. Prints a line for each change after the store confirmed it:
`+ TILE SHA256` or `- TILE`, then `opens N`.
"""

from __future__ import annotations

import random
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource


def tile_of(number: int, count: int, chance: random.Random) -> tuple[bytes, TileMetadata]:
    pixels = example_jpeg(chance.randbytes(2000))
    metadata = example_metadata(
        TileId(20, number * 100_000 + count % 50_000, count // 50_000, TileSource.IMPORTED),
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.15,
    )
    return pixels, metadata


FEWEST_OPENS = 2
"""So often at least a worker opens the store, however long that takes on a busy machine."""


def confirm(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> None:
    root, dsn, number, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    config = AerotileConfig(root=root, database=DatabaseConfig(dsn=Secret(dsn)))
    chance = random.Random(number)
    deadline = time.monotonic() + seconds
    count = opens = 0
    mine: list[TileId] = []
    while time.monotonic() < deadline or opens < FEWEST_OPENS:
        with Runtime(config) as runtime:
            store = runtime.tile_store
            opens += 1
            for _ in range(40):
                count += 1
                pixels, metadata = tile_of(number, count, chance)
                store.write_tile(pixels, metadata)
                mine.append(metadata.tile_id)
                confirm(f"+ {metadata.tile_id} {metadata.content_sha256}")
                if count % 4 == 0:
                    gone = mine.pop(chance.randrange(len(mine)))
                    store.delete_tile(gone)
                    confirm(f"- {gone}")
            batch = []
            for _ in range(20):
                count += 1
                batch.append(tile_of(number, count, chance))
            for outcome in store.write_tiles(batch):
                if outcome.error is not None:
                    raise outcome.error
            for _, metadata in batch:
                mine.append(metadata.tile_id)
                confirm(f"+ {metadata.tile_id} {metadata.content_sha256}")
    confirm(f"opens {opens}")


if __name__ == "__main__":
    main()
