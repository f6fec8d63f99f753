"""The index file byte by byte, checked before FAISS is given any of it.

FAISS 1.15 trusts a file's vector lengths and its highest layer. A forged file with the right hash would make
FAISS read beyond its memory, or allocate more than there is. So only files that `build` could have written
are accepted: an IndexIDMap2 over an HNSW graph over float16, float32 or eight bits, sections that add up to
the file, and links that lead to nodes of their own layer.

    IxM2 header                                     ids
        IHNs|IHNf header  probabilities  layer_ends  levels  offsets  links  entry
            IxSQ header  quantizer  trained  codes          (float16, eight bits)
            IxF2|IxFI header                 codes          (float32)

A header is d, ntotal, two reserved numbers, is_trained, metric; a vector is its length and its items.
"""

from __future__ import annotations

import mmap
import struct
from typing import Any

import attrs
import faiss
import numpy as np
import numpy.typing as npt

from .kinds import ALL_CODES

_HEADER = struct.Struct("<iqqq?i")
_QUANTIZER = struct.Struct("<iifQQ")
_ENTRY = struct.Struct("<iiiii")
_LENGTH = struct.Struct("<Q")
_FLAT = {faiss.METRIC_L2: b"IxF2", faiss.METRIC_INNER_PRODUCT: b"IxFI"}
_METRICS = frozenset(_FLAT)
_QUANTIZERS = {codes.quantizer: codes for codes in ALL_CODES if codes.quantizer is not None}
_LINKS_AT_ONCE = 1 << 22


class IndexLayoutError(ValueError):
    """The bytes are no index that this program built; the message says where they differ."""


@attrs.frozen
class Section:
    """A part of the file."""

    begin: int
    end: int


@attrs.define
class _Walk:
    """A position in the file, and the sections before it."""

    content: mmap.mmap | bytes
    position: int = 0
    sections: dict[str, Section] = attrs.field(factory=dict)

    def magic(self, name: str, *known: bytes) -> bytes:
        """One of the `known` identifiers of four letters."""
        found = bytes(self._take(f"{name} magic", 4))
        if found not in known:
            expected = " or ".join(word.decode() for word in known)
            raise IndexLayoutError(f"the {name} begins as {found!r}, not as {expected}")
        return found

    def numbers(self, name: str, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self._take(name, form.size))

    def vector(self, name: str, kind: Any) -> npt.NDArray[Any]:
        """The items after their number, without a copy."""
        (count,) = _LENGTH.unpack(self._take(f"{name} length", _LENGTH.size))
        dtype = np.dtype(kind)
        if count > (len(self.content) - self.position) // dtype.itemsize:
            raise IndexLayoutError(f"{count} {name} do not fit into the file")
        begin = self.position
        self._take(name, count * dtype.itemsize)
        return np.frombuffer(self.content, dtype, count, begin)

    def _take(self, name: str, length: int) -> bytes:
        begin, self.position = self.position, self.position + length
        if self.position > len(self.content):
            raise IndexLayoutError(f"it ends within {name}")
        self.sections[name] = Section(begin, self.position)
        return self.content[begin : self.position] if length <= _QUANTIZER.size + _HEADER.size else b""


def check_layout(content: mmap.mmap | bytes) -> dict[str, Section]:
    """Check a whole index file; returns the sections by name, in their order. Raises `IndexLayoutError`.

    Numbers are checked in place; at its peak the check takes 20 bytes for each tile.
    """
    walk = _Walk(content)
    walk.magic("index", b"IxM2")
    facts = _header(walk, "index header")
    graph = walk.magic("graph", b"IHNs", b"IHNf")
    _same(_header(walk, "graph header"), facts, "graph")
    walk.vector("probabilities", "<f8")
    ends = walk.vector("layer_ends", "<i4")
    levels = walk.vector("levels", "<i4")
    offsets = walk.vector("offsets", "<u8")
    links = walk.vector("links", "<i4")
    entry, top_layer, _, _, _ = walk.numbers("entry", _ENTRY)
    _check_codes(walk, facts, with_quantizer=graph == b"IHNs")
    ids = walk.vector("ids", "<i8")
    if walk.position != len(content):
        raise IndexLayoutError(f"{len(content) - walk.position} bytes stand behind its end")
    for name, vector in (("levels", levels), ("ids", ids)):
        if len(vector) != facts.count:
            raise IndexLayoutError(f"it has {len(vector)} {name} for {facts.count} vectors")
    _check_graph(ends, levels, offsets, links, entry, top_layer)
    return walk.sections


@attrs.frozen
class _Facts:
    dimension: int
    count: int
    metric: int


def _header(walk: _Walk, name: str) -> _Facts:
    dimension, count, _, _, is_trained, metric = walk.numbers(name, _HEADER)
    if not is_trained or metric not in _METRICS or dimension < 1 or count < 0:
        raise IndexLayoutError(
            f"the {name} says dimension {dimension}, count {count}, metric {metric}, trained {is_trained}"
        )
    return _Facts(dimension, count, metric)


def _same(found: _Facts, expected: _Facts, what: str) -> None:
    if found != expected:
        raise IndexLayoutError(f"the {what} is of {found}, the index of {expected}")


def _check_codes(walk: _Walk, facts: _Facts, *, with_quantizer: bool) -> None:
    """The vectors: as many bytes as count and dimension require."""
    if with_quantizer:
        walk.magic("vectors", b"IxSQ")
        _same(_header(walk, "vectors header"), facts, "vectors' header")
        kind, _, _, dimension, code_bytes = walk.numbers("quantizer", _QUANTIZER)
        known = _QUANTIZERS.get(kind)
        if known is None:
            raise IndexLayoutError(
                f"the vectors are quantized as {kind}, neither as float16 nor by eight bits"
            )
        trained = walk.vector("trained", "<f4")
        code_length = facts.dimension * known.component_bytes
        learned = facts.dimension * known.trained_per_component
        if (dimension, code_bytes, len(trained)) != (facts.dimension, code_length, learned):
            raise IndexLayoutError("the quantizer is none for the index's dimension")
        codes, expected = walk.vector("codes", np.uint8), facts.count * code_length
    else:
        walk.magic("vectors", _FLAT[facts.metric])
        _same(_header(walk, "vectors header"), facts, "vectors' header")
        codes, expected = walk.vector("codes", "<f4"), facts.count * facts.dimension
    if len(codes) != expected:
        raise IndexLayoutError(f"the vectors have {len(codes)} parts, expected {expected}")


def _check_graph(
    ends: npt.NDArray[np.int32],
    levels: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.uint64],
    links: npt.NDArray[np.int32],
    entry: int,
    top_layer: int,
) -> None:
    """A node on `levels` layers has its links from its offset on; those of layer l end at `ends[l + 1]`."""
    count = len(levels)
    if len(ends) < 2 or ends[0] != 0 or (np.diff(ends) < 1).any():
        raise IndexLayoutError("the layers' shares of the links do not grow from 0")
    if len(offsets) != count + 1 or offsets[0] != 0 or offsets[-1] != len(links):
        raise IndexLayoutError("the offsets do not lead from the first link to the last")
    if count == 0:
        return
    if levels.min() < 1 or levels.max() >= len(ends):
        raise IndexLayoutError("a node is on no layer, or on one that the graph does not have")
    if (np.diff(offsets) != ends[levels].astype(np.uint64)).any():
        raise IndexLayoutError("a node does not have the links of its layers")
    for start in range(0, len(links), _LINKS_AT_ONCE):
        some = links[start : start + _LINKS_AT_ONCE]
        if some.min() < -1 or some.max() >= count:
            raise IndexLayoutError("a link leads to a node that is not there")
    if not 0 <= entry < count or top_layer != levels[entry] - 1:
        raise IndexLayoutError(
            f"the search would begin on layer {top_layer} at node {entry}, which is not there"
        )
    for layer in range(1, top_layer + 1):
        nodes = np.flatnonzero(levels > layer)
        positions = offsets[nodes, None].astype(np.int64) + np.arange(ends[layer], ends[layer + 1])
        targets = links[positions]
        if (levels[targets[targets >= 0]] <= layer).any():
            raise IndexLayoutError(f"a link of layer {layer} leads to a node that is not on it")
