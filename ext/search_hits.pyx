"""What lies around a descriptor search: the check of its query, and its answer as tiles."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyTypeObject
from libc.stdint cimport int64_t, uint32_t

from _slots cimport PyType_GenericAlloc, fill_slot, slot_offset
from _tile_id cimport TileIdLayout, learn_layout, tile_id_of

from ..domain.values.descriptors import SearchHit
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId, TileSource

cdef enum:
    # Of a binary32 number; all set in an infinite one, or one that is none.
    EXPONENT_BITS = 0x7F800000

cdef TileIdLayout LAYOUT
learn_layout(&LAYOUT, TileId, TileSource)
cdef PyTypeObject *HIT_KIND = <PyTypeObject *>SearchHit
cdef Py_ssize_t TILE_ID_AT = slot_offset(SearchHit, "tile_id")
cdef Py_ssize_t DISTANCE_AT = slot_offset(SearchHit, "distance")


cdef inline bint is_of(const Py_buffer *buffer, const char *formats, Py_ssize_t itemsize) noexcept:
    """Whether the buffer is a row of numbers of one of these native formats."""
    return (
        buffer.ndim == 1
        and buffer.itemsize == itemsize
        and buffer.format != NULL
        and (buffer.format[0] == formats[0] or buffer.format[0] == formats[1])
        and buffer.format[1] == 0
    )


def is_finite_descriptor(descriptor, Py_ssize_t dimension):
    """Whether it is a contiguous, aligned row of `dimension` native float32, all of them finite."""
    cdef Py_buffer buffer
    cdef const uint32_t *bits
    cdef Py_ssize_t place
    cdef uint32_t not_finite = 0
    try:
        PyObject_GetBuffer(descriptor, &buffer, PyBUF_ND | PyBUF_FORMAT)
    except (TypeError, ValueError, BufferError):
        return False
    try:
        if not is_of(&buffer, b"ff", 4) or buffer.shape[0] != dimension or <size_t>buffer.buf % 4 != 0:
            return False
        bits = <const uint32_t *>buffer.buf
        for place in range(dimension):
            not_finite |= (bits[place] & EXPONENT_BITS) == EXPONENT_BITS
        return not_finite == 0
    finally:
        PyBuffer_Release(&buffer)


@cython.final
cdef class HitReader:
    """Reads the rows that a graph answers with as tiles. Any number of threads may use it.

    `HitReader(variants, keys)`: row i of the graph is the tile of `keys[i]`, a contiguous array of int64, which
    is looked at where it lies and must stay as long as this object.
    """

    cdef object variants
    cdef tuple flights
    cdef Py_buffer keys
    cdef bint holds_keys

    def __cinit__(self, variants not None, keys not None):
        if not isinstance(variants, VariantTable):
            raise TypeError(f"expected a VariantTable, got {variants!r}")
        self.variants = variants
        self.flights = variants.flights
        PyObject_GetBuffer(keys, &self.keys, PyBUF_ND | PyBUF_FORMAT)
        self.holds_keys = True
        if not is_of(&self.keys, b"lq", 8):
            raise TypeError("keys must be a one-dimensional array of int64")

    def __dealloc__(self):
        if self.holds_keys:
            PyBuffer_Release(&self.keys)

    def hits(self, rows not None, distances not None):
        """The hits, in the order given; places with a negative row are left out.

        `rows` is a contiguous array of int64, `distances` one of float32 of the same length. Raises `TypeError`
        or `ValueError` for other arrays, `IndexError` for a row beyond the keys, `KeyError` or `ValueError` for
        a key that names no tile.
        """
        cdef Py_buffer row_buffer
        cdef Py_buffer distance_buffer
        PyObject_GetBuffer(rows, &row_buffer, PyBUF_ND | PyBUF_FORMAT)
        try:
            PyObject_GetBuffer(distances, &distance_buffer, PyBUF_ND | PyBUF_FORMAT)
            try:
                if not is_of(&row_buffer, b"lq", 8) or not is_of(&distance_buffer, b"ff", 4):
                    raise TypeError("rows must be an array of int64, distances one of float32")
                if row_buffer.shape[0] != distance_buffer.shape[0]:
                    raise ValueError(f"{row_buffer.shape[0]} rows but {distance_buffer.shape[0]} distances")
                return self.read(
                    <const int64_t *>row_buffer.buf, <const float *>distance_buffer.buf, row_buffer.shape[0]
                )
            finally:
                PyBuffer_Release(&distance_buffer)
        finally:
            PyBuffer_Release(&row_buffer)

    cdef list read(self, const int64_t *rows, const float *distances, Py_ssize_t count):
        """One hit per row that is not negative."""
        cdef const int64_t *keys = <const int64_t *>self.keys.buf
        cdef Py_ssize_t place
        cdef object hit, tile_id, distance
        cdef list hits = []
        for place in range(count):
            if rows[place] < 0:
                continue
            if rows[place] >= self.keys.shape[0]:
                raise IndexError(f"row {rows[place]} of {self.keys.shape[0]}")
            tile_id = tile_id_of(keys[rows[place]], &LAYOUT, self.flights)
            distance = <double>distances[place]
            # Made from facts that are known to be valid, so without its constructor.
            hit = PyType_GenericAlloc(HIT_KIND, 0)
            fill_slot(hit, TILE_ID_AT, tile_id)
            fill_slot(hit, DISTANCE_AT, distance)
            hits.append(hit)
        return hits
