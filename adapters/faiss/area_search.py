"""Exact search among the descriptors of an area, in a mapped file whose blocks are hashed on first use."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from ...domain.errors import IndexUnavailableError
from ...domain.values.areas import Area
from ...domain.values.descriptors import DescriptorMetric, IndexMetadata, SearchHit
from ...ext import PlaceOrderedRows, RowSelection, TileKeyCodec
from ..files.mapped_file import populate
from ..index_files import DESCRIPTORS_FILE
from ..own_process import OwnProcess
from .generations import REMEDY
from .place_order import BlockLayout, RowsFile

_faiss: Any = faiss  # the type stubs that faiss ships lack some names and get others wrong
_swig_ptr = _faiss.swig_ptr
_SPARE_ROWS = 16
"""Asked for beyond the answer: with no more rows than these equally far away, one scan is enough."""
_GROWTH = 8
"""How many times as many rows the next scan is asked for, where the spare ones were too few."""
_set_nprobe = _faiss.SearchParametersIVF.nprobe.fset
"""FAISS's classes take a microsecond for any attribute that is set, to look whether it is one of theirs."""
_MOST_ROWS_KEPT = 4096
"""Of an answer whose memory is used again."""


class _Question:
    """One search as FAISS takes it, used again: making it anew costs more than scanning 100 rows."""

    def __init__(self, rows: PlaceOrderedRows, layout: BlockLayout) -> None:
        self.selection = RowSelection(rows)
        self._selector = _faiss.IDSelectorBitmap(
            self.selection.bit_bytes, _faiss.cast_integer_to_uint8_ptr(self.selection.bits_address)
        )
        self._parameters = _faiss.SearchParametersIVF()
        self._parameters.sel = self._selector
        self._blocks = _faiss.cast_integer_to_idx_t_ptr(self.selection.blocks_address)
        self._query = np.empty(layout.dimension, np.float32)
        self._unused = np.zeros(layout.blocks, np.float32)
        """Distances of the query to the blocks, which FAISS asks for and does not use here."""
        self._make_room(64)

    def _make_room(self, count: int) -> None:
        self.rows = np.empty(count, np.int64)
        self.distances = np.empty(count, np.float32)
        self._pointers = tuple(map(_swig_ptr, (self._query, self._unused, self.distances, self.rows)))

    def ask(self, index: Any, descriptor: npt.NDArray[np.float32], count: int) -> None:
        """Find the `count` nearest rows of the selection; row -1 stands for those beyond float32."""
        if count > len(self.rows):
            self._make_room(count)
        _set_nprobe(self._parameters, self.selection.blocks)
        self._query[:] = descriptor
        query, unused, distances, rows = self._pointers
        index.search_preassigned_c(
            1, query, count, self._blocks, unused, distances, rows, False, self._parameters, None
        )  # fmt: skip


class PlaceOrderedDescriptors(Protocol):
    """Descriptors as an index stores them, in the order of tile keys."""

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """The tile key of each row, sorted."""

    def blocks(self) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """All rows, block by block, and their vectors. Raises an `AerotileError` for damage."""


class AreaSearch:
    """Place-ordered descriptors over their mapping. Any number of threads may search.

    The index points into the mapping, which this object keeps alive.
    """

    def __init__(self, folder: Path, mapping: mmap.mmap, rows: RowsFile, metadata: IndexMetadata) -> None:
        """`rows` is verified. Raises `IndexUnavailableError` when the mapped file is not laid out by it."""
        self._path = folder / DESCRIPTORS_FILE
        self._mapping = mapping
        self._rows = rows
        self._layout = BlockLayout(
            len(rows.keys), metadata.dimension, metadata.storage, metadata.metric, rows.rows_per_block
        )
        if (
            len(mapping) != self._layout.file_bytes
            or mapping[: len(self._layout.header)] != self._layout.header
        ):
            raise IndexUnavailableError(
                f"{self._path} is not the file that its generation describes, or another faiss wrote it",
                remedy=REMEDY,
            )
        buffer = np.frombuffer(mapping, np.uint8)
        self._owner = faiss.read_index(_faiss.ZeroCopyIOReader(_swig_ptr(buffer), buffer.size))
        self._index = _faiss.downcast_index(self._owner)
        self._places = PlaceOrderedRows(rows.keys, rows.rows_per_block)
        self._windows = self._layout.windows(mapping)
        self._nearest_hits = TileKeyCodec(metadata.variants).nearest_hits
        self._verified = np.zeros(self._layout.blocks, np.uint8)
        self._process = OwnProcess()
        self._verifying = threading.Lock()
        self._questions: list[_Question] = []
        """Those that no thread uses at the moment; taken and put back by one operation each."""
        self._ascending = metadata.metric is DescriptorMetric.L2
        self.rows_a_tile = int(np.diff(np.flatnonzero(np.diff(rows.keys, prepend=-1, append=-1))).max())

    def nearest(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """The `k` nearest tiles of an area, each by its best descriptor; among equals the lower key first.

        Exact: as if every descriptor of the area was compared, in float32 on the stored numbers. `descriptor`
        is contiguous. Raises `IndexUnavailableError`.
        """
        try:
            question = self._questions.pop()
        except IndexError:
            question = _Question(self._places, self._layout)
        hits = self._hits(question, descriptor, k, area)
        if len(question.rows) <= _MOST_ROWS_KEPT:
            self._questions.append(question)
        return hits

    def _hits(
        self, question: _Question, descriptor: npt.NDArray[np.float32], k: int, area: Area
    ) -> list[SearchHit]:
        selection = question.selection
        self._places.select(area, selection)
        count = selection.count
        if not count:
            return []
        if unknown := selection.missing_in(self._verified):
            self._hash(unknown)
        k = min(k, count)
        # The spare ones tell whether rows as far away as the last one may have been left out.
        wanted = min(k * self.rows_a_tile + _SPARE_ROWS, count)
        try:
            while True:
                question.ask(self._index, descriptor, wanted)
                hits = self._nearest_hits(
                    self._rows.keys, question.rows, question.distances, wanted, k,
                    ascending=self._ascending, are_all=wanted == count,
                )  # fmt: skip
                if hits is not None:
                    return hits
                wanted = min(_GROWTH * wanted, count)
        except (RuntimeError, MemoryError) as error:
            raise IndexUnavailableError(f"faiss can't search {self._path}: {error}") from error
        except (KeyError, ValueError) as error:
            raise IndexUnavailableError(f"the index holds a key that names no tile: {error}") from error

    def distances(
        self, descriptor: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Of the stored vectors of `rows`, in the index's metric. Raises `IndexUnavailableError`."""
        self._verify(np.unique(rows // self._layout.rows_per_block))
        stored = self._windows[self._layout.first_components(rows)].astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # an infinite distance is one, as in FAISS
            if self._ascending:
                stored -= descriptor
                found: npt.NDArray[np.float32] = np.einsum("ij,ij->i", stored, stored)
            else:
                found = stored @ descriptor
        return found

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """The tile key of each row, sorted."""
        return self._rows.keys

    def blocks(self) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """The rows of each block and their vectors as stored. Raises `IndexUnavailableError` for damage."""
        step = self._layout.rows_per_block
        for number in range(self._layout.blocks):
            self._verify(np.array([number], np.int64))
            vectors = self._layout.vectors(number, self._mapping)
            yield slice(number * step, number * step + len(vectors)), vectors

    def verify(self) -> None:
        """Hash every block that was not used before. Raises `IndexUnavailableError` for a damaged one."""
        self._verify(np.arange(self._layout.blocks, dtype=np.int64))

    def _verify(self, blocks: npt.NDArray[np.int64]) -> None:
        """Hash the blocks that were not used before. Raises `IndexUnavailableError` for a damaged one."""
        if not self._verified[blocks].all():
            self._hash(blocks[self._verified[blocks] == 0].tolist())

    def _hash(self, blocks: list[int]) -> None:
        if not self._process.is_current:  # a thread of the parent may have held the lock at the fork
            self._process, self._verifying = OwnProcess(), threading.Lock()
        with self._verifying, memoryview(self._mapping) as content:
            for number in sorted(blocks):
                if self._verified[number]:  # by another thread, meanwhile
                    continue
                begin, end = self._layout.block(number)
                try:
                    populate(self._mapping, begin, end, self._path)
                except OSError as error:
                    raise IndexUnavailableError(
                        f"the disk does not give {self._path}: {error.strerror}", remedy=REMEDY
                    ) from error
                if hashlib.sha256(content[begin:end]).digest() != self._rows.digests[number].tobytes():
                    raise IndexUnavailableError(
                        f"{self._path} is damaged between bytes {begin} and {end}",
                        remedy=REMEDY,
                    )
                self._verified[number] = True


@contextmanager
def copied_descriptors(
    folder: Path, source: PlaceOrderedDescriptors, is_taken: npt.NDArray[np.bool_] | None = None
) -> Iterator[npt.NDArray[Any]]:
    """The vectors of the rows that `is_taken` names, by default all, mapped from a nameless file in `folder`.

    Raises `IndexUnavailableError` for damage, and `OSError`.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        for rows, vectors in source.blocks():
            taken = vectors if is_taken is None else vectors[is_taken[rows]]
            file.write(taken.tobytes())
        file.flush()
        yield np.memmap(file, vectors.dtype, "r").reshape(-1, vectors.shape[1])
