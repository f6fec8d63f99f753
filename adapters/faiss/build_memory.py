"""How much memory a build takes at most."""

from __future__ import annotations

from ...domain.values.descriptors import HnswParams, VectorStorage

COMPONENT_BYTES = {VectorStorage.FLOAT16: 2, VectorStorage.FLOAT32: 4}
_LINK_BYTES = 4
# Per tile: its level 4, its place among the links 8, its key twice 16 (ours and FAISS's) and 8 while they are
# sorted, the key's way back to its row up to 56 (a hash table in FAISS, once built and once read back), a
# lock while it is linked 4.
_TILE_BYTES = 4 + 8 + 16 + 8 + 2 * 56 + 4
_FIXED_BYTES = 32 << 20
"""FAISS's own working memory, what threads and the allocator keep."""
DESCRIPTORS_AT_ONCE = 4096
"""Enough to keep every thread busy, few enough for progress to move."""


def links_per_tile(m: int) -> float:
    """Places for links that FAISS keeps for a tile on average.

    2 m on the lowest layer; a tile is on layer i with probability m**-i and has m there (Malkov and Yashunin
    2018, with the level multiplier 1 / ln m). Layers are drawn by chance: 5 % more covers any graph worth
    the name.
    """
    return 2 * m + 1.05 * m / (m - 1)


def build_memory_bytes(
    count: int, dimension: int, params: HnswParams, storage: VectorStorage, threads: int
) -> int:
    """The most that a build adds to the process's own memory, beside tile ids and descriptors given to it.

    The vectors, the links, a fixed amount per tile, one byte per tile and thread that notes which tiles were
    visited, one chunk of descriptors, and a fixed amount.
    """
    vectors = count * dimension * COMPONENT_BYTES[storage]
    links = count * links_per_tile(params.m) * _LINK_BYTES
    chunk = DESCRIPTORS_AT_ONCE * dimension * COMPONENT_BYTES[VectorStorage.FLOAT32]
    return round(vectors + links + count * (_TILE_BYTES + threads) + chunk + _FIXED_BYTES)
