"""A flight loop of ten lookups a second: python examples/flight_loop.py FRAMES.npy TILE.jpg

FRAMES.npy stands for camera and network: float32, shape (frames, dimension). TILE.jpg stands for the picture
that the aircraft makes of the ground below, once a second. A lookup never waits for the database. A write
does, so it has a thread of its own.
"""

import hashlib
import sys
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import numpy

import aerotile

PERIOD_S = 0.1


def own_tile(below: aerotile.TileId, flight_id: uuid.UUID, pixels: bytes) -> aerotile.TileMetadata:
    return aerotile.TileMetadata(
        tile_id=aerotile.TileId(below.zoom_level, below.x, below.y, aerotile.TileSource.ONBOARD, flight_id),
        captured_at=datetime.now(timezone.utc),
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=aerotile.ground_sample_distance(below.centre[0], below.zoom_level),
        voting_status=aerotile.VotingStatus.PENDING,
    )


def main(frames: Path, tile: Path) -> int:
    config = aerotile.load_config()
    store = aerotile.build_tile_store(config)
    index = aerotile.build_descriptor_index(config)
    recorder = aerotile.build_flight_recorder(config)
    flight_id, pixels = uuid.uuid4(), tile.read_bytes()
    descriptors = numpy.load(frames)
    writes: list[Future[aerotile.TileMetadataPersistent]] = []
    late, start = 0, time.monotonic()
    with ThreadPoolExecutor(1) as writer:
        for number, descriptor in enumerate(descriptors, 1):
            taken_at = datetime.now(timezone.utc)
            candidates = aerotile.find_tiles(descriptor, 5, index=index, store=store)
            for found in candidates:
                with found.pixels as shared:
                    jpeg = numpy.frombuffer(memoryview(shared), "u1")  # zero-copy; may outlive the block
                    assert jpeg.nbytes  # here the matcher compares the frame with the candidate's pixels
            if candidates:  # what the matcher found goes on the flight record, with the lookup's name
                lat, lon = candidates[0].tile_id.centre
                fix = aerotile.PositionFix(
                    tile_id=candidates[0].tile_id,
                    lat=lat,
                    lon=lon,
                    fixed_at=taken_at,
                    error_m=5.0,
                    lookup=candidates.lookup,
                )
                recorder.record_fix(fix)
            if candidates and number % 10 == 0 and all(write.done() for write in writes):
                metadata = own_tile(candidates[0].tile_id, flight_id, pixels)
                writes.append(writer.submit(store.write_tile, pixels, metadata))
            ahead_s = start + number * PERIOD_S - time.monotonic()
            late += ahead_s < 0
            time.sleep(max(ahead_s, 0))
    stored = sum(write.exception() is None for write in writes)
    print(f"{len(descriptors)} frames, {late} late; {stored} of {len(writes)} tiles stored")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
