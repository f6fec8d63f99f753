"""Tile keys in C. `aerotile.domain.values.tile_key` is the reference."""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBUF_STRIDED_RO,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.number cimport PyNumber_Index
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy

from cpython.object cimport PyTypeObject

from _slots cimport PyType_GenericAlloc, fill_slot, slot_offset
from _tile_id cimport TileIdLayout, flight_ordinals, key_of, learn_layout, tile_id_of

from ..domain.values.descriptors import SearchHit
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId, TileSource

cdef struct Candidate:
    float far
    int64_t key


cdef int by_distance(const void *first, const void *second) noexcept nogil:
    """Nearer ones first, then lower keys, as `qsort` wants it."""
    cdef const Candidate *one = <const Candidate *>first
    cdef const Candidate *other = <const Candidate *>second
    if one.far != other.far:
        return -1 if one.far < other.far else 1
    return (one.key > other.key) - (one.key < other.key)


cdef int by_key(const void *first, const void *second) noexcept nogil:
    """Lower keys first, then nearer ones, as `qsort` wants it."""
    cdef const Candidate *one = <const Candidate *>first
    cdef const Candidate *other = <const Candidate *>second
    if one.key != other.key:
        return -1 if one.key < other.key else 1
    return (one.far > other.far) - (one.far < other.far)


cdef TileIdLayout LAYOUT
learn_layout(&LAYOUT, TileId, TileSource)
cdef PyTypeObject *SEARCH_HIT = <PyTypeObject *>SearchHit
cdef Py_ssize_t HIT_TILE_ID = slot_offset(SearchHit, "tile_id")
cdef Py_ssize_t HIT_DISTANCE = slot_offset(SearchHit, "distance")


@cython.final
cdef class TileKeyCodec:
    """Encodes and decodes the keys of one `VariantTable`. Any number of threads may use it.

    Tile ids are made without running their validation; keys are checked instead.
    """

    cdef readonly object variants
    cdef dict ordinals
    cdef tuple flights

    def __cinit__(self, variants not None):
        if not isinstance(variants, VariantTable):
            raise TypeError(f"variants must be of type VariantTable, got {type(variants).__name__}")
        self.variants = variants
        self.flights = variants.flights
        self.ordinals = flight_ordinals(self.flights)

    def encode(self, tile_id not None):
        """The key of a tile. Raises `KeyError` when the table does not name its flight."""
        cdef int64_t key = key_of(tile_id, &LAYOUT, self.ordinals)
        if key < 0:
            raise KeyError(tile_id.flight_id)
        return key

    def decode(self, key):
        """The tile that a key names. Raises `ValueError` or `KeyError` for a key that names none."""
        cdef int64_t number
        try:
            number = PyNumber_Index(key)
        except OverflowError as error:
            raise ValueError(f"the key {key} does not fit 64 bits") from error
        return tile_id_of(number, &LAYOUT, self.flights)

    def decode_many(self, keys not None):
        """The tiles that an array of 64-bit integers names. Raises as `decode`, and `TypeError` for another array."""
        cdef Py_buffer buffer
        cdef Py_ssize_t position
        cdef list tile_ids = []
        PyObject_GetBuffer(keys, &buffer, PyBUF_STRIDED_RO | PyBUF_FORMAT)
        try:
            if buffer.ndim != 1 or buffer.itemsize != 8 or buffer.format[0] not in (c"l", c"q") or buffer.format[1] != 0:
                raise TypeError(
                    f"keys must be a one-dimensional array of int64, got format {buffer.format.decode()} "
                    f"in {buffer.ndim} dimensions"
                )
            for position in range(buffer.shape[0]):
                tile_ids.append(
                    tile_id_of(
                        (<int64_t *>(<char *>buffer.buf + position * buffer.strides[0]))[0], &LAYOUT, self.flights
                    )
                )
        finally:
            PyBuffer_Release(&buffer)
        return tile_ids

    def nearest_hits(
        self, keys not None, rows not None, distances not None, Py_ssize_t count, Py_ssize_t k,
        *, bint ascending, bint are_all,
    ):
        """The `k` nearest tiles of `count` rows found, each by its nearest row; among equals the lower key first.

        Row r is of the tile `keys[r]`, int64 at any address; `rows` are int64 and `distances` float32. A row that
        `keys` does not have, such as -1, is none. The rows found are the nearest ones: without `are_all`, None comes
        back where a tile that belongs to the answer may not be among them. Raises as `decode`, and `ValueError` for
        other arrays, counts that don't fit them and a `k` below 1. Hits are made without their constructor, which
        took a tenth of a small search.
        """
        cdef Py_buffer lent[3]
        cdef int lent_count = 0
        cdef Py_ssize_t place, found = 0, tiles = 0
        cdef int64_t row
        cdef float farthest = -INFINITY
        cdef Candidate *candidates = NULL
        cdef list hits = []
        cdef object hit
        try:
            for array in (keys, rows, distances):
                PyObject_GetBuffer(array, &lent[lent_count], PyBUF_ND)
                lent_count += 1
            if not (
                lent[0].ndim == lent[1].ndim == lent[2].ndim == 1
                and lent[0].itemsize == lent[1].itemsize == sizeof(int64_t)
                and lent[2].itemsize == sizeof(float)
            ):
                raise ValueError("keys and rows are arrays of int64, distances is one of float32, of one dimension")
            if k < 1 or not 0 <= count <= min(lent[1].shape[0], lent[2].shape[0]):
                raise ValueError(f"{k} of {count} of {lent[1].shape[0]} rows and {lent[2].shape[0]} distances")
            candidates = <Candidate *>malloc((count + 1) * sizeof(Candidate))
            if candidates == NULL:
                raise MemoryError
            for place in range(count):
                row = (<int64_t *>lent[1].buf)[place]
                if 0 <= row < lent[0].shape[0]:
                    candidates[found].far = (<float *>lent[2].buf)[place] * (1 if ascending else -1)
                    memcpy(&candidates[found].key, <char *>lent[0].buf + row * sizeof(int64_t), sizeof(int64_t))
                    farthest = max(farthest, candidates[found].far)
                    found += 1
            qsort(candidates, found, sizeof(Candidate), &by_key)
            for place in range(found):
                if tiles == 0 or candidates[place].key != candidates[tiles - 1].key:
                    candidates[tiles] = candidates[place]
                    tiles += 1
            qsort(candidates, tiles, sizeof(Candidate), &by_distance)
            if not are_all and (tiles < k or candidates[k - 1].far == farthest):
                return None
            for place in range(min(k, tiles)):
                hit = PyType_GenericAlloc(SEARCH_HIT, 0)
                fill_slot(hit, HIT_TILE_ID, tile_id_of(candidates[place].key, &LAYOUT, self.flights))
                fill_slot(hit, HIT_DISTANCE, <double>(candidates[place].far * (1 if ascending else -1)))
                hits.append(hit)
        finally:
            free(candidates)
            for place in range(lent_count):
                PyBuffer_Release(&lent[place])
        return hits
