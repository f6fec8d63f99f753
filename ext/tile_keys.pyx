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
from libc.stdlib cimport free, malloc, qsort

from cpython.object cimport PyTypeObject

from _slots cimport PyType_GenericAlloc, fill_slot, slot_offset
from _tile_id cimport TileIdLayout, flight_ordinals, key_of, learn_layout, tile_id_of

from ..domain.values.descriptors import SearchHit
from ..domain.values.tile_key import VariantTable
from ..domain.values.tiles import TileId, TileSource

cdef struct Candidate:
    float far
    int64_t key


cdef int compare_candidates(const void *first, const void *second) noexcept nogil:
    """Nearer ones first, then lower keys, as `qsort` wants it."""
    cdef const Candidate *one = <const Candidate *>first
    cdef const Candidate *other = <const Candidate *>second
    if one.far != other.far:
        return -1 if one.far < other.far else 1
    return (one.key > other.key) - (one.key < other.key)


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

    def nearest_hits(
        self,
        const int64_t[::1] keys not None,
        const int64_t[::1] rows not None,
        const float[::1] distances not None,
        Py_ssize_t count,
        Py_ssize_t k,
        *,
        bint ascending,
        bint are_all,
    ):
        """The `k` nearest tiles of `count` rows found, each by its nearest row; among equals the lower key first.

        Row -1 is none. The rows found are the nearest ones: without `are_all`, None comes back where a tile
        that belongs to the answer may not be among them. Raises as `decode`, and `ValueError` for counts that
        don't fit the arrays and a `k` below 1.
        """
        cdef Py_ssize_t place, found = 0, chosen = 0
        cdef Candidate *candidates
        cdef set seen = set()
        cdef list hits = []
        cdef object hit
        if k < 1 or not 0 < count <= min(rows.shape[0], distances.shape[0]):
            raise ValueError(f"{k} of {count} of {rows.shape[0]} rows and {distances.shape[0]} distances")
        candidates = <Candidate *>malloc(count * sizeof(Candidate))
        if candidates == NULL:
            raise MemoryError
        try:
            for place in range(count):
                if 0 <= rows[place] < keys.shape[0]:
                    candidates[found].far = distances[place] if ascending else -distances[place]
                    candidates[found].key = keys[rows[place]]
                    found += 1
            qsort(candidates, found, sizeof(Candidate), &compare_candidates)
            for place in range(found):
                if chosen == k:
                    break
                if candidates[place].key not in seen:
                    seen.add(candidates[place].key)
                    candidates[chosen] = candidates[place]
                    chosen += 1
            if not are_all and (chosen < k or candidates[k - 1].far == candidates[found - 1].far):
                return None
            for place in range(chosen):
                hit = PyType_GenericAlloc(SEARCH_HIT, 0)
                fill_slot(hit, HIT_TILE_ID, tile_id_of(candidates[place].key, &LAYOUT, self.flights))
                fill_slot(hit, HIT_DISTANCE, <double>(candidates[place].far if ascending else -candidates[place].far))
                hits.append(hit)
        finally:
            free(candidates)
        return hits
