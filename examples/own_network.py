"""A network of your own: aerotile describe descriptors.npz --with own_network:describe"""

import hashlib
from pathlib import Path

import numpy as np

CELLS = 4


class MeanColours:
    """Describes pictures by the mean colours of 4 x 4 cells."""

    label = "mean-colours"
    headings = (0, 90, 180, 270)
    # This network is in this file alone. Yours hashes its weights and all else that decides its numbers.
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Unsigned bytes of shape (n, height, width, 3) to float32 of shape (n, 48)."""
        count, height, width, _ = pictures.shape
        cells = pictures.reshape(count, CELLS, height // CELLS, CELLS, width // CELLS, 3)
        rows: np.ndarray = cells.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1) / 255
        return rows


describe = MeanColours()
