"""Tile keys in C. `aerotile.domain.values.tile_key` is the reference."""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_STRIDED_RO,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.number cimport PyNumber_Index
from libc.stdint cimport int64_t

from cpython.object cimport PyTypeObject

from _slots cimport PyType_GenericAlloc, fill_slot, slot_offset
from _tile_id cimport TileIdLayout, flight_ordinals, key_of, learn_layout, tile_id_of

from ..domain.values.descriptors import SearchHit
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId, TileSource

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

    def search_hits(self, keys not None, list distances not None):
        """One `SearchHit` for each key of an array, in its order. Raises as `decode_many`, and `ValueError` when
        there are not as many distances, which are floats.

        A hit is made without its constructor, which took a tenth of a small search.
        """
        cdef list hits = self.decode_many(keys)
        cdef Py_ssize_t position
        cdef object hit
        if len(hits) != len(distances):
            raise ValueError(f"{len(hits)} keys but {len(distances)} distances")
        for position in range(len(hits)):
            hit = PyType_GenericAlloc(SEARCH_HIT, 0)
            fill_slot(hit, HIT_TILE_ID, hits[position])
            fill_slot(hit, HIT_DISTANCE, distances[position])
            hits[position] = hit
        return hits
