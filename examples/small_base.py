"""Make a small base to try Aerotile with, and a camera that flies over it: python small_base.py

Writes tiles/15/x/y.jpg, descriptors.npz and frames.npy. The pictures are noise, and the descriptor is the
brightness of 8 x 8 patches: they stand for imagery and for a network.
"""

import sys
from pathlib import Path

import numpy
from PIL import Image

import aerotile

ZOOM, SIDE, TILE = 15, 8, 256
NORTH_WEST = aerotile.TileId.covering(48.14, 11.55, ZOOM, aerotile.TileSource.IMPORTED)


def describe(picture: numpy.ndarray) -> numpy.ndarray:
    patches = picture.reshape(8, TILE // 8, 8, TILE // 8).mean(axis=(1, 3)).ravel()
    centred = patches - patches.mean()
    return numpy.asarray(centred / numpy.linalg.norm(centred), numpy.float32)


def main() -> int:
    random = numpy.random.default_rng(1)
    ground = numpy.kron(random.integers(0, 255, (8 * SIDE, 8 * SIDE)), numpy.ones((TILE // 8, TILE // 8)))
    names, descriptors = [], []
    for column in range(SIDE):
        folder = Path("tiles", str(ZOOM), str(NORTH_WEST.x + column))
        folder.mkdir(parents=True, exist_ok=True)
        for row in range(SIDE):
            y = NORTH_WEST.y + row
            picture = ground[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            Image.fromarray(picture.astype(numpy.uint8)).convert("RGB").save(folder / f"{y}.jpg")
            names.append(f"imported/{ZOOM}/{NORTH_WEST.x + column}/{y}")
            descriptors.append(describe(picture))
    numpy.savez("descriptors.npz", tiles=names, descriptors=numpy.stack(descriptors))

    frames = []  # south-eastwards, 10 pixels off the grid, with a noisy camera
    for step in range(SIDE - 1):
        seen = ground[step * TILE + 10 : (step + 1) * TILE + 10, step * TILE + 10 : (step + 1) * TILE + 10]
        frames.append(describe(seen + random.normal(0, 20, seen.shape)))
    numpy.save("frames.npy", numpy.stack(frames))
    print(f"{len(names)} tiles, {len(frames)} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
