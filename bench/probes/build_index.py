"""Build a descriptor index of clustered descriptors, and print how many it holds, as JSON.

python bench/probes/build_index.py ROOT COUNT DIMENSION
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from aerotile import AerotileConfig, TileId, TileSource, build_descriptor_index

_CLUSTER_SIZE = 40
_SPREAD = 0.6


def main() -> None:
    """Build and leave."""
    root, count, dimension = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    noise = np.random.default_rng(7)
    centres = noise.standard_normal((max(1, count // _CLUSTER_SIZE), dimension), np.float32)
    descriptors = centres[noise.integers(len(centres), size=count)]
    descriptors += _SPREAD * noise.standard_normal(descriptors.shape, np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    tiles = [TileId(18, n % 1000, n // 1000, TileSource.SATELLITE_PROVIDER) for n in range(count)]
    built = build_descriptor_index(AerotileConfig(root=root)).rebuild(
        tiles, descriptors, descriptor_model="bench", built_at=datetime.now(timezone.utc)
    )
    sys.stdout.write(json.dumps({"count": built.count}) + "\n")


if __name__ == "__main__":
    main()
