"""From a descriptor to pixels, without a database access: python examples/find.py QUERY.npy"""

import sys
from pathlib import Path

import numpy

import aerotile


def main(query: Path) -> int:
    config = aerotile.load_config()  # aerotile.toml, then AEROTILE_* variables
    store = aerotile.build_tile_store(config)  # starts an embedded PostgreSQL where no DSN is set
    index = aerotile.build_descriptor_index(config)

    descriptor = numpy.load(query)  # float32, shape (dimension,)
    for found in aerotile.find_tiles(descriptor, 5, index=index, store=store):
        with found.pixels as pixels:
            jpeg = numpy.frombuffer(memoryview(pixels), "u1")  # read-only, zero-copy; may outlive the block
            verdict = found.verdict  # how fresh the tile is now; None: evicted a moment ago
            label = "unknown" if verdict is None else f"{verdict.decision.name}, {verdict.age.days} days old"
            print(f"{found.tile_id}  distance {found.distance:.3f}  {len(jpeg)} bytes  {label}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
