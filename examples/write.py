"""Store one tile that the aircraft made: python examples/write.py TILE.jpg LAT LON"""

import hashlib
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

import aerotile

ZOOM = 17


def main(jpeg: Path, lat: float, lon: float) -> int:
    store = aerotile.build_tile_store(aerotile.load_config())
    pixels = jpeg.read_bytes()
    metadata = aerotile.TileMetadata(
        tile_id=aerotile.TileId.covering(lat, lon, ZOOM, aerotile.TileSource.ONBOARD, uuid.uuid4()),
        captured_at=datetime.now(timezone.utc),  # when the ground looked like that
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=aerotile.ground_sample_distance(lat, ZOOM),
        voting_status=aerotile.VotingStatus.PENDING,
        quality=aerotile.TileQualityMetadata(
            horizontal_error_m=2.5, inlier_count=41, mean_reprojection_error_px=0.75, sharpness=123.5
        ),
    )
    try:
        stored = store.write_tile(pixels, metadata)
    except aerotile.TileCacheError as error:  # a refusal changes nothing
        print(f"not stored: {error}", file=sys.stderr)
        return 1
    print(f"stored {stored.tile_id}: {stored.disk_bytes} bytes, {stored.freshness_label.value}, durable")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
