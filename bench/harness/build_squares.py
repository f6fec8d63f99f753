"""How many blocks a build has of a square of ground."""

from __future__ import annotations

import math

_PYRAMID_ZOOMS = 5
_BLOCK_SIDE = 16


def blocks_of_a_square(tiles: int) -> int:
    """About how many blocks a square of so many tiles has, whose zooms go down to a single tile.

    A square begins anywhere in a block, so that it has a row and a column of blocks more than its side says.
    """
    side = math.sqrt(tiles * 3 / 4)
    blocks = 0.0
    while side >= 1:
        blocks += (side / _BLOCK_SIDE + 1) ** 2
        side /= 1 << _PYRAMID_ZOOMS
    return max(1, round(blocks))
