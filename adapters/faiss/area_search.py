"""Exact search among the descriptors of an area, in a mapped file whose blocks are hashed on first use."""

from __future__ import annotations

import ctypes
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


class _Question:
    """What FAISS is told of a search beside the query. Making it anew costs more than scanning 100 rows."""

    def __init__(self) -> None:
        self.parameters = _faiss.SearchParametersIVF()
        self.selector = _faiss.IDSelectorBitmap(0, None)
        self.parameters.sel = self.selector

    def ask(self, selection: RowSelection, bits: npt.NDArray[np.uint8]) -> None:
        """Hold the next search to the rows of a selection, whose `bits` outlive it."""
        self.parameters.nprobe = len(selection.blocks)
        self.selector.n = selection.bit_bytes
        self.selector.bitmap = _swig_ptr(bits)


class PlaceOrderedDescriptors(Protocol):
    """Descriptors as an index stores them, in the order of tile keys."""

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """The tile key of each row, sorted."""
        ...

    def blocks(self) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """All rows, block by block, and their vectors. Raises an `AerotileError` for damage."""
        ...


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
        self._select = PlaceOrderedRows(rows.keys, rows.rows_per_block).select
        self._windows = self._layout.windows(mapping)
        self._decode = TileKeyCodec(metadata.variants).search_hits
        self._verified = np.zeros(self._layout.blocks, np.bool_)
        self._process = OwnProcess()
        self._verifying = threading.Lock()
        self._questions: list[_Question] = []
        """Those that no thread uses at the moment; taken and put back by one operation each."""
        self._ascending = metadata.metric is DescriptorMetric.L2
        self.rows_a_tile = int(np.diff(np.flatnonzero(np.diff(rows.keys, prepend=-1, append=-1))).max())
        self._no_distances = np.zeros(self._layout.blocks, np.float32)
        """Of a query to the blocks; FAISS asks for them and does not use them here."""

    def nearest(self, descriptor: npt.NDArray[np.float32], k: int, area: Area) -> list[SearchHit]:
        """The `k` nearest tiles of an area, each by its best descriptor; among equals the lower key first.

        Exact: as if every descriptor of the area was compared, in float32 on the stored numbers. `descriptor`
        is contiguous. Raises `IndexUnavailableError`.
        """
        selection = self._select(area)
        if not selection.count:
            return []
        self._verify(selection.blocks)
        # One more than can be needed tells whether rows as far away as the last one may have been left out.
        wanted = k * self.rows_a_tile + 1
        while True:
            wanted = min(wanted, selection.count)
            rows, distances = self._scan(descriptor, wanted, selection)
            far = distances if self._ascending else -distances
            found = sorted(zip(far.tolist(), self._rows.keys[rows].tolist(), strict=True))
            best: dict[int, float] = {}
            for distance, key in found:
                best.setdefault(key, distance)
            nearest = list(best.items())[:k]
            if wanted == selection.count or (len(nearest) == k and nearest[-1][1] != found[-1][0]):
                break
            wanted *= 2
        sign = 1 if self._ascending else -1
        try:
            keys = np.fromiter((key for key, _ in nearest), np.int64, count=len(nearest))
            return self._decode(keys, [sign * distance for _, distance in nearest])
        except (KeyError, ValueError) as error:
            raise IndexUnavailableError(f"the index holds a key that names no tile: {error}") from error

    def _scan(
        self, descriptor: npt.NDArray[np.float32], count: int, selection: RowSelection
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The `count` nearest rows of a selection, with their distances; those of finite distance alone."""
        bits = np.ctypeslib.as_array((ctypes.c_uint8 * selection.bit_bytes).from_address(selection.address))
        try:
            question = self._questions.pop()
        except IndexError:
            question = _Question()
        question.ask(selection, bits)
        distances = np.empty(count, np.float32)
        rows = np.empty(count, np.int64)
        try:
            self._index.search_preassigned_c(
                1, _swig_ptr(descriptor), count, _swig_ptr(selection.blocks), _swig_ptr(self._no_distances),
                _swig_ptr(distances), _swig_ptr(rows), False, question.parameters, None,
            )  # fmt: skip
        except (RuntimeError, MemoryError) as error:
            raise IndexUnavailableError(f"faiss can't search {self._path}: {error}") from error
        self._questions.append(question)
        if rows[-1] < 0:  # FAISS leaves out what lies beyond float32 and puts -1 behind the others
            named = rows >= 0
            rows, distances = rows[named], distances[named]
        return rows, distances

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
        if self._verified[blocks].all():
            return
        if not self._process.is_current:  # a thread of the parent may have held the lock at the fork
            self._process, self._verifying = OwnProcess(), threading.Lock()
        with self._verifying, memoryview(self._mapping) as content:
            for number in blocks[~self._verified[blocks]].tolist():
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
