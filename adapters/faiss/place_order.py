"""The place-ordered descriptors of a generation: two files, written in one pass and checked block by block.

    tiles.descriptors   FAISS's own format of an inverted file (`IwSQ` or `IwFl`): a header that the number of
                        rows decides, then block after block the vectors of its rows and the rows' numbers
    tiles.rows          the tile keys of all rows, sorted, and the SHA-256 of each block

Row i is the i-th descriptor in the order of tile keys: by zoom, then along the Z-curve. An inverted list is a
block of so many neighbouring rows, so FAISS scans what lies near each other with its own kernels. Blocks are
hashed when they are first used; `tiles.rows`, and the header with it, when the generation is opened.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from pathlib import Path
from typing import Any

import attrs
import faiss
import numpy as np
import numpy.typing as npt

from ...domain.values.descriptors import DescriptorMetric, VectorStorage
from ..descriptor_arrays import component_of
from ..files.atomic_file import new_file
from ..index_files import DESCRIPTORS_FILE

ROWS_PER_BLOCK = 256
"""Rows of an inverted list: fewer cost FAISS more calls, more are looked at in vain at an area's edge."""
SHA256_BYTES = 32

FAISS_METRICS = {
    DescriptorMetric.L2: faiss.METRIC_L2,
    DescriptorMetric.INNER_PRODUCT: faiss.METRIC_INNER_PRODUCT,
}
_faiss: Any = faiss  # the type stubs that faiss ships lack some names and get others wrong
_MAGIC = b"AEROROWS"
_ROWS_HEADER = struct.Struct("<8sIIQ")
"""Magic, version, rows per block, rows; all little-endian."""
_VERSION = 1
_NTOTAL_AT = 8
_NO_LISTS = b"sprs" + bytes(8)
"""How FAISS ends an inverted file without entries."""


class PlaceOrderError(ValueError):
    """The bytes are not what this program writes; the message says where."""


@attrs.frozen
class BlockLayout:
    """Where the blocks of `rows` descriptors lie in `tiles.descriptors`."""

    rows: int
    dimension: int
    storage: VectorStorage
    metric: DescriptorMetric
    rows_per_block: int = ROWS_PER_BLOCK
    header: bytes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "header", self._header())

    @property
    def blocks(self) -> int:
        """How many there are; the last may be shorter."""
        return -(-self.rows // self.rows_per_block)

    @property
    def row_bytes(self) -> int:
        """Of one vector."""
        return self.dimension * component_of(self.storage).itemsize

    @property
    def file_bytes(self) -> int:
        """Length of the whole file."""
        return len(self.header) + self.rows * (self.row_bytes + 8)

    def block(self, number: int) -> tuple[int, int]:
        """Where a block's bytes begin and end in the file."""
        first = number * self.rows_per_block
        last = min(first + self.rows_per_block, self.rows)
        step = self.row_bytes + 8
        return len(self.header) + first * step, len(self.header) + last * step

    def block_content(self, number: int, vectors: npt.NDArray[Any]) -> bytes:
        """A block's bytes, from the vectors of its rows."""
        first = number * self.rows_per_block
        numbers = np.arange(first, first + len(vectors), dtype="<i8")
        return np.ascontiguousarray(vectors, component_of(self.storage)).tobytes() + numbers.tobytes()

    def vectors(self, number: int, content: bytes | mmap.mmap) -> npt.NDArray[Any]:
        """The vectors of a block, as they are stored, where they lie in the file's `content`."""
        begin, end = self.block(number)
        rows = (end - begin) // (self.row_bytes + 8)
        flat = np.frombuffer(content, component_of(self.storage), rows * self.dimension, begin)
        return flat.reshape(rows, self.dimension)

    def windows(self, content: mmap.mmap) -> npt.NDArray[Any]:
        """Vectors where they lie: one from each component of the file's blocks on, see `first_components`."""
        flat = np.frombuffer(content, np.uint8)[len(self.header) :]
        component = component_of(self.storage)
        places = (len(flat) - self.row_bytes) // component.itemsize + 1
        found: npt.NDArray[Any] = np.ndarray(
            (places, self.dimension), component, flat, strides=(component.itemsize,) * 2
        )
        return found

    def first_components(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which of `windows` the vectors of `rows` are."""
        blocks, within = np.divmod(rows, self.rows_per_block)
        begins = blocks * (self.rows_per_block * (self.row_bytes + 8)) + within * self.row_bytes
        places: npt.NDArray[np.int64] = begins // component_of(self.storage).itemsize
        return places

    def _header(self) -> bytes:
        """What FAISS writes before the first list, of an empty index in which the numbers are put."""
        metric = FAISS_METRICS[self.metric]
        quantizer = _faiss.IndexFlat(self.dimension, metric)
        if self.storage is VectorStorage.FLOAT16:
            empty = _faiss.IndexIVFScalarQuantizer(
                quantizer, self.dimension, self.blocks, faiss.ScalarQuantizer.QT_fp16, metric, False
            )
        else:
            empty = _faiss.IndexIVFFlat(quantizer, self.dimension, self.blocks, metric)
        empty.is_trained = True
        written = _faiss.serialize_index(empty).tobytes()
        if not written.endswith(_NO_LISTS):
            raise PlaceOrderError(f"faiss {faiss.__version__} writes inverted lists in an unknown way")
        sizes = np.full(self.blocks, self.rows_per_block, "<u8")
        sizes[-1] = self.rows - (self.blocks - 1) * self.rows_per_block
        header = bytearray(written.removesuffix(_NO_LISTS))
        struct.pack_into("<q", header, _NTOTAL_AT, self.rows)
        return bytes(header) + b"full" + struct.pack("<Q", self.blocks) + sizes.tobytes()


@attrs.frozen(eq=False)
class RowsFile:
    """What `tiles.rows` says."""

    keys: npt.NDArray[np.int64]
    """Sorted; a tile with several descriptors has several rows."""
    digests: npt.NDArray[np.uint8]
    """Shape (blocks, 32)."""
    rows_per_block: int

    def encode(self) -> bytes:
        """The file's bytes."""
        header = _ROWS_HEADER.pack(_MAGIC, _VERSION, self.rows_per_block, len(self.keys))
        return header + self.keys.astype("<i8").tobytes() + self.digests.tobytes()

    @classmethod
    def decode(cls, content: bytes | mmap.mmap) -> RowsFile:
        """Read the bytes where they lie. Raises `PlaceOrderError` for any that `encode` does not give."""
        if len(content) < _ROWS_HEADER.size:
            raise PlaceOrderError("it ends within its header")
        magic, version, rows_per_block, rows = _ROWS_HEADER.unpack_from(content)
        if magic != _MAGIC or version != _VERSION or not 1 <= rows_per_block <= 1 << 20 or rows < 1:
            raise PlaceOrderError("its header is none that this program writes")
        blocks = -(-rows // rows_per_block)
        if len(content) != _ROWS_HEADER.size + 8 * rows + SHA256_BYTES * blocks:
            raise PlaceOrderError(f"it is no file of {rows} rows: it has {len(content)} bytes")
        keys = np.frombuffer(content, "<i8", rows, _ROWS_HEADER.size)
        if (keys[1:] < keys[:-1]).any():
            raise PlaceOrderError("its keys are not sorted")
        digests = np.frombuffer(content, np.uint8, SHA256_BYTES * blocks, _ROWS_HEADER.size + 8 * rows)
        return cls(keys.astype(np.int64, copy=False), digests.reshape(blocks, SHA256_BYTES), rows_per_block)


def write_place_ordered(
    folder: Path,
    keys: npt.NDArray[np.int64],
    descriptors: npt.NDArray[Any],
    *,
    storage: VectorStorage,
    metric: DescriptorMetric,
    mode: int,
) -> RowsFile:
    """Write and sync `tiles.descriptors` from row i under key i, and return what `tiles.rows` shall say.

    Memory: the keys, their order and one block; `descriptors` may be a mapped file. The folder is for the
    caller to sync. Raises `OSError`.
    """
    order = np.argsort(keys, kind="stable")
    layout = BlockLayout(len(keys), descriptors.shape[1], storage, metric)
    digests = np.empty((layout.blocks, SHA256_BYTES), np.uint8)
    path = folder / DESCRIPTORS_FILE
    with new_file(path, mode) as file:
        file.write(layout.header)
        for number in range(layout.blocks):
            rows = order[number * layout.rows_per_block : (number + 1) * layout.rows_per_block]
            content = layout.block_content(number, descriptors[rows])
            digests[number] = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
            file.write(content)
    return RowsFile(keys[order], digests, layout.rows_per_block)
