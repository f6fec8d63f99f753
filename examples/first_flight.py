"""Find each frame of a camera on the map: python first_flight.py FRAMES.npy

FRAMES.npy stands for camera and network: float32, shape (frames, dimension).
"""

import sys
from pathlib import Path

import numpy

import aerotile

DRIFT_M = 3_000.0  # how far the aircraft may be from its last fix when the next frame comes


def match(candidates: aerotile.FoundTiles) -> aerotile.FoundTile | None:
    for found in candidates:  # nearest first
        too_old = found.verdict is None or found.verdict.decision is aerotile.FreshnessDecision.REJECT
        jpeg = numpy.frombuffer(memoryview(found.pixels), "u1")  # read-only, zero-copy
        if not too_old and jpeg.size:  # here a matcher compares the frame with the decoded tile
            return found
    return None


def main(frames: Path) -> int:
    config = aerotile.load_config()  # aerotile.toml, then AEROTILE_* variables
    store = aerotile.build_tile_store(config)
    index = aerotile.build_descriptor_index(config)
    near: aerotile.Area | None = None  # nothing is known before the first fix
    fixes = 0
    for number, descriptor in enumerate(numpy.load(frames)):
        with aerotile.find_tiles(descriptor, 3, index=index, store=store, near=near) as candidates:
            found = match(candidates)
        if found is None:
            near = None  # lost: search the whole base
            print(f"frame {number}: no fix")
            continue
        lat, lon = found.tile_id.centre
        near = aerotile.Area.around(lat, lon, DRIFT_M)
        fixes += 1
        print(f"frame {number}: {found.tile_id} at {lat:.4f} {lon:.4f}")
    aerotile.close_runtimes()  # writes what is queued and stops the embedded database; exit does so too
    return 0 if fixes else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
