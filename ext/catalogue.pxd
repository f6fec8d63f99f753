"""What other modules of the extension use of the catalogue, without a call through Python."""

cimport cython
from libc.stdint cimport int64_t

from _row_blocks cimport Row, RowBlocks
from _morton cimport Rectangle
from _row_queries cimport Runs


@cython.final
cdef class CompiledTileCatalogue:
    cdef RowBlocks rows
    cdef object lock
    cdef object variants
    cdef tuple flights
    cdef dict ordinals
    cdef int64_t last_mark
    cdef int64_t latest_capture
    cdef int64_t latest_access
    cdef set touched  # the tiles added or removed since the mark; None when no reload is under way

    cdef object put_changes(self, RowBlocks *rows, object variants)
    cdef bint put(self, RowBlocks *rows, Row *row) except -1
    cdef bint put_named(self, object tile_id, Row *row) except -1
    cdef bytes copied(self, int64_t zoom_level, const Rectangle *cells, Runs *found)
    cdef int64_t disk_bytes_of(self, object tile_id) except -1
