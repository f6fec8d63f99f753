"""Which tiles look like this frame, and which lie near it: python examples/search.py QUERY.npy

QUERY.npy holds one descriptor, float32 of shape (dimension,), from the network that made the index. A search
names tiles and reads no pixels.
"""

import sys
from pathlib import Path

import numpy

import aerotile


def main(query: Path) -> int:
    config = aerotile.load_config()
    index = aerotile.build_descriptor_index(config)
    about = index.metadata()
    print(f"{about.count} descriptors of {about.dimension} numbers, made by {about.descriptor_model}")
    hits = index.search(numpy.load(query), 5)
    for hit in hits:
        print(f"{hit.tile_id}  distance {hit.distance:.3f}")

    store = aerotile.build_tile_store(config)
    best = hits[0].tile_id
    lat, lon = best.centre
    around = aerotile.Bbox(max(lat - 1, -85), max(lon - 1, -180), min(lat + 1, 85), min(lon + 1, 180))
    print(f"{len(store.query_by_bbox(around, best.zoom_level))} tiles within a degree of the best one")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
