"""The kinds of graph: what each holds of a descriptor, how large its file is, and which one `auto` means."""

from __future__ import annotations

from typing import Any

import attrs
import faiss

from ...domain.values.descriptors import HnswParams, IndexKind, VectorStorage
from ..descriptor_arrays import component_of

_faiss: Any = faiss  # the type stubs that faiss ships lack some names and get others wrong
LINK_BYTES = 4
LARGEST_WHOLE_GRAPH_BYTES = 8 << 30
"""A quarter of the 32 GB that the smaller board has, and that its GPU shares: where `auto` turns to codes."""
_TILE_FILE_BYTES = 4 + 8 + 8
"""Of a descriptor in the file: its level, its offset among the links, its key."""
_BLOCK_BYTES_PER_ROW = 8 + 8 + 32 / 256
"""Beside a vector in the place-ordered files: its number, its key, its share of a digest."""


@attrs.frozen
class GraphCodes:
    """What a graph holds of each vector."""

    quantizer: int | None
    """FAISS's scalar quantizer; None for vectors as they are."""
    component_bytes: int
    trained_per_component: int
    """Numbers that the quantizer learns for each component."""

    @property
    def magic(self) -> bytes:
        """How FAISS names the graph in a file."""
        return b"IHNf" if self.quantizer is None else b"IHNs"

    @property
    def graph_class(self) -> Any:
        """FAISS's class."""
        return _faiss.IndexHNSWFlat if self.quantizer is None else _faiss.IndexHNSWSQ


@attrs.frozen(kw_only=True)
class BuildEstimate:
    """What an index of one kind takes."""

    kind: IndexKind
    chosen: bool
    """Whether it is the kind that would be built."""
    count: int
    dimension: int
    build_memory_bytes: int
    """The most that the build adds to its process, beside what it is given."""
    graph_bytes: int
    """About the length of the graph's file, which lookups without a prior have in memory."""
    place_bytes: int
    """About the length of the descriptors in the order of places, of which lookups use what they need."""
    build_seconds: float
    """About how long the graph takes, by a sample that was built on this machine."""


_WHOLE = {
    VectorStorage.FLOAT16: GraphCodes(faiss.ScalarQuantizer.QT_fp16, 2, 0),
    VectorStorage.FLOAT32: GraphCodes(None, 4, 0),
}
_EIGHT_BITS = GraphCodes(faiss.ScalarQuantizer.QT_8bit, 1, 2)
ALL_CODES = (*_WHOLE.values(), _EIGHT_BITS)


def graph_codes(kind: IndexKind, storage: VectorStorage) -> GraphCodes:
    """What the graph of a kind holds."""
    return _EIGHT_BITS if kind is IndexKind.HNSW_SQ8 else _WHOLE[storage]


def links_per_tile(m: int) -> float:
    """Links that FAISS reserves for a tile on average.

    2 m on the lowest layer; a tile is on layer i with probability m**-i and has m links there (Malkov and
    Yashunin 2018, with the level multiplier 1 / ln m). Layers are random: 5 % more covers all but the
    smallest graphs.
    """
    return 2 * m + 1.05 * m / (m - 1)


def graph_file_bytes(
    count: int, dimension: int, params: HnswParams, storage: VectorStorage, kind: IndexKind
) -> int:
    """About the length of `tiles.index`: what lookups without a prior have in memory."""
    vector = dimension * graph_codes(kind, storage).component_bytes
    return round(count * (vector + links_per_tile(params.m) * LINK_BYTES + _TILE_FILE_BYTES))


def place_file_bytes(count: int, dimension: int, storage: VectorStorage) -> int:
    """About the length of `tiles.descriptors` and `tiles.rows`, which lookups use block by block."""
    return round(count * (dimension * component_of(storage).itemsize + _BLOCK_BYTES_PER_ROW))


def kind_for(count: int, dimension: int, params: HnswParams, storage: VectorStorage) -> IndexKind:
    """What `auto` means: whole vectors in the graph, up to a file of `LARGEST_WHOLE_GRAPH_BYTES`."""
    size = graph_file_bytes(count, dimension, params, storage, IndexKind.HNSW)
    return IndexKind.HNSW if size <= LARGEST_WHOLE_GRAPH_BYTES else IndexKind.HNSW_SQ8
