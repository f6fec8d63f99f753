"""What the parser of the catalogue's COPY uses of the rows taken in, without a call through Python."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

from _copy_fields cimport Field, FLIGHT_BYTES


@cython.final
cdef class Column:
    cdef object pages
    cdef char *values
    cdef Py_ssize_t row_bytes
    cdef int make_room(self, Py_ssize_t rows) except -1
    cdef object array(self, Py_ssize_t rows, object kind)


@cython.final
cdef class CopiedRows:
    cdef Column keys
    cdef Column captured_us
    cdef Column accessed_us
    cdef Column disk_bytes
    cdef Column flags
    cdef Column content_sha256
    cdef Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef dict ordinals
    cdef list flights
    cdef uint8_t[FLIGHT_BYTES] last_flight
    cdef int64_t last_ordinal
    cdef int keep(self, const Field *fields) except -1 nogil
    cdef int make_room(self) except -1
    cdef int64_t flight_ordinal(self, const uint8_t *flight) except -1 nogil
    cdef int64_t known_or_new_ordinal(self, const uint8_t *flight) except -1
    cdef int impossible(self, const Field *fields, str reason) except -1
