"""What other modules of the extension use of mapped pixels, without a call through Python."""

cimport cython

from _mappings cimport Mapping


@cython.final
cdef class MappedPixels:
    cdef Mapping *mapping
    cdef Mapping *viewed
    cdef Py_ssize_t exports
    cdef readonly bint was_resident
    cdef void leave(self) noexcept


cdef MappedPixels new_handle(Mapping *mapping)
cdef Mapping *mapping_of(object handle) except NULL
