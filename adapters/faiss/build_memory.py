"""How much memory a build takes at most."""

from __future__ import annotations

from ...domain.errors import IndexBuildError
from ...domain.values.descriptors import HnswParams, IndexKind, VectorStorage
from ..descriptor_arrays import component_of
from .kinds import LINK_BYTES, graph_codes, kind_for, links_per_tile

# Per tile: its level 4, its offset among the links 8, its key twice 16 (in this program and in FAISS) and 8
# while keys are sorted, the way from key to row up to 56 (a hash table in FAISS, once built and once read
# back), a lock while the tile is linked 4.
_TILE_BYTES = 4 + 8 + 16 + 8 + 2 * 56 + 4
_SORTED_BYTES = 2 * 8
"""Per tile: the order of the keys and the keys in that order, where the graph follows them."""
_FIXED_BYTES = 32 << 20
"""FAISS's own working memory, and memory that threads and the allocator hold."""
DESCRIPTORS_AT_ONCE = 4096
"""Enough to keep every thread busy, few enough for progress to move."""
TRAINED_ON = 16_384
"""Descriptors that a quantizer learns from: those that lie at even distances in the order of the keys."""


def build_memory_bytes(
    count: int,
    dimension: int,
    params: HnswParams,
    storage: VectorStorage,
    threads: int,
    kind: IndexKind = IndexKind.HNSW,
) -> int:
    """The most that a build adds to the process's own memory, beside tile ids and descriptors given to it.

    The codes, the links, a fixed amount per tile, one byte per tile and thread that notes which tiles were
    visited, one chunk of descriptors, what a quantizer learns from, and a fixed amount.
    """
    codes = graph_codes(kind, storage)
    vectors = count * dimension * codes.component_bytes
    links = count * links_per_tile(params.m) * LINK_BYTES
    whole = dimension * component_of(VectorStorage.FLOAT32).itemsize
    learned_from = 2 * min(count, TRAINED_ON) * whole if codes.trained_per_component else 0
    tile = _TILE_BYTES + threads + (_SORTED_BYTES if kind.follows_keys else 0)
    return round(vectors + links + count * tile + DESCRIPTORS_AT_ONCE * whole + learned_from + _FIXED_BYTES)


def refuse_without_memory(
    count: int,
    dimension: int,
    params: HnswParams,
    storage: VectorStorage,
    *,
    kind: IndexKind | None = None,
    threads: int,
    available: int | None,
) -> None:
    """Raise `IndexBuildError` where the `available` bytes are too few for a build; None: not known.

    `kind`: None for the one that `auto` means, where the caller has no choice.
    """
    chosen = kind or kind_for(count, dimension, params, storage)
    needed = build_memory_bytes(count, dimension, params, storage, threads, chosen)
    if available is not None and needed > available:
        raise IndexBuildError(
            f"an index of {count} x {dimension} takes up to {needed >> 20} MiB of memory to build, "
            f"{available >> 20} MiB are available",
            remedy=("" if kind is None else "build with --kind hnsw_sq8, ")
            + "keep the vectors as float16, lower index.m, or build on a larger machine",
        )
