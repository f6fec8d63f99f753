"""How much memory a build takes at most."""

from __future__ import annotations

from ...domain.values.descriptors import HnswParams, VectorStorage

COMPONENT_BYTES = {VectorStorage.FLOAT16: 2, VectorStorage.FLOAT32: 4}
_LINK_BYTES = 4
# Per tile: its level 4, its offset among the links 8, its key twice 16 (in this program and in FAISS) and 8
# while keys are sorted, the way from key to row up to 56 (a hash table in FAISS, once built and once read
# back), a lock while the tile is linked 4.
_TILE_BYTES = 4 + 8 + 16 + 8 + 2 * 56 + 4
_FIXED_BYTES = 32 << 20
"""FAISS's own working memory, and memory that threads and the allocator hold."""
DESCRIPTORS_AT_ONCE = 4096
"""Enough to keep every thread busy, few enough for progress to move."""


def links_per_tile(m: int) -> float:
    """Links that FAISS reserves for a tile on average.

    2 m on the lowest layer; a tile is on layer i with probability m**-i and has m links there (Malkov and
    Yashunin 2018, with the level multiplier 1 / ln m). Layers are random: 5 % more covers all but the
    smallest graphs.
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
