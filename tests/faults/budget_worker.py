"""One of several processes that fill the same store beyond its budget, over the same tiles.

Usage: budget_worker.py ROOT DSN NUMBER BUDGET_BYTES. Prints `ready` when the store is open, and `kept TILE`
for each tile that nobody may evict, until there is a line on standard input; then `over`. For each line
that follows it prints what it knows: `knows TILE SHA256 BYTES` for each tile, and `total BYTES`.
"""

from __future__ import annotations

import random
import select
import sys
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.secret import Secret
from aerotile.adapters.config.sections import BudgetConfig
from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.errors import DuplicateTileError, OnboardRoomExhaustedError, TileNotFoundError
from aerotile.domain.ports.tile_store import SupportsLocalWrites
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource, VotingStatus

PLACES = 120
EVERYWHERE = Bbox(-85.0, -180.0, 85.0, 180.0)
ZOOM = 10


def tile_of(tile_id: TileId, chance: random.Random) -> tuple[bytes, TileMetadata]:
    pixels = example_jpeg(chance.randbytes(chance.randrange(500, 3000)))
    return pixels, example_metadata(
        tile_id,
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.15,
        voting_status=VotingStatus.PENDING if tile_id.source is TileSource.ONBOARD else None,
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def change(runtime: Runtime, number: int, count: int, chance: random.Random) -> None:
    """One change by chance, of tiles that the others change too."""
    store = runtime.tile_store
    tile_id = TileId(ZOOM, chance.randrange(PLACES), 500, TileSource.IMPORTED)
    try:
        if count % 50 == 0 and count <= 500:
            kept = TileId(ZOOM, count, 501, TileSource.ONBOARD, UUID(int=number + 1))
            try:
                store.write_tile(*tile_of(kept, chance))
            except OnboardRoomExhaustedError:  # the map fills the budget, and onboard tiles never evict it
                store.delete_tile(tile_id)
            else:
                say(f"kept {kept}")
        elif chance.random() < 0.15:
            store.delete_tile(tile_id)
        elif chance.random() < 0.2:
            places = chance.sample(range(PLACES), 8)
            assert isinstance(store, SupportsLocalWrites)
            store.write_tiles([tile_of(TileId(ZOOM, x, 500, TileSource.IMPORTED), chance) for x in places])
        else:
            if store.tile_exists(tile_id):
                store.read_tile_pixels(tile_id).close()
            store.write_tile(*tile_of(tile_id, chance))
    except (DuplicateTileError, TileNotFoundError):
        pass  # another process was first


def main() -> None:
    root, dsn, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    config = AerotileConfig(
        root=root,
        database=DatabaseConfig(dsn=Secret(dsn)),
        budget=BudgetConfig(max_bytes=int(sys.argv[4]), eviction_batch_size=4),
    )
    chance = random.Random(number)
    count = 0
    with Runtime(config) as runtime:
        assert runtime.tile_store is not None
        say("ready")
        while not select.select([sys.stdin], [], [], 0)[0]:
            count += 1
            change(runtime, number, count, chance)
        say("over")
        sys.stdin.readline()
        catalogue = runtime.tile_store.catalogue
        for _ in sys.stdin:
            entries = list(catalogue.query_by_bbox(EVERYWHERE, ZOOM))
            lines = [f"knows {e.tile_id} {e.content_sha256} {e.disk_bytes}" for e in entries]
            say("\n".join([*lines, f"total {catalogue.total_disk_bytes()}"]))


if __name__ == "__main__":
    main()
