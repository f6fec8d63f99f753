"""Find a frame by the network that described the tiles: python examples/locate.py FRAME.npy"""

import sys
from pathlib import Path

import numpy as np

import aerotile


def main(frame: Path) -> int:
    config = aerotile.load_config()  # descriptor.model or descriptor.callable names the network
    model = aerotile.build_descriptor_model(config)
    index = aerotile.build_descriptor_index(config)  # refused when another network described the tiles
    pictures = np.load(frame)[np.newaxis]  # (1, height, width, 3), unsigned bytes, red, green, blue
    for hit in index.search(model.describe(pictures)[0], 3):
        print(f"{hit.tile_id}  distance {hit.distance:.2f}, by {model.name}")
    aerotile.close_runtimes()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
