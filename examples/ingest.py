"""Bring in a folder of tiles, FOLDER/z/x/y.jpg: python examples/ingest.py FOLDER CAPTURED_AT

CAPTURED_AT is the day on which the imagery was taken, for instance 2026-05-01. Every tile passes the gates of
a single write, and a batch has one commit.
"""

import hashlib
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

import aerotile

BATCH = 64


def tiles(folder: Path, captured_at: datetime) -> Iterator[tuple[bytes, aerotile.TileMetadata]]:
    for path in sorted(folder.glob("*/*/*.jpg")):
        zoom, x, y = int(path.parts[-3]), int(path.parts[-2]), int(path.stem)
        tile_id = aerotile.TileId(zoom, x, y, aerotile.TileSource.IMPORTED)
        pixels = path.read_bytes()
        yield (
            pixels,
            aerotile.TileMetadata(
                tile_id=tile_id,
                captured_at=captured_at,
                content_sha256=hashlib.sha256(pixels).hexdigest(),
                disk_bytes=len(pixels),
                ground_sample_distance=aerotile.ground_sample_distance(tile_id.centre[0], zoom),
            ),
        )


def main(folder: Path, captured_at: datetime) -> int:
    store = aerotile.build_tile_store(aerotile.load_config())
    waiting = tiles(folder, captured_at)
    stored = present = refused = 0
    while batch := list(islice(waiting, BATCH)):
        for outcome in store.write_tiles(batch):
            if outcome.error is None:
                stored += 1
            elif isinstance(outcome.error, aerotile.DuplicateTileError):
                present += 1
            else:
                refused += 1
                print(outcome.error, file=sys.stderr)
    print(f"{stored} stored, {present} there already, {refused} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    day = datetime.strptime(sys.argv[2], "%Y-%m-%d").replace(tzinfo=timezone.utc)
    sys.exit(main(Path(sys.argv[1]), day))
