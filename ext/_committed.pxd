"""What catalogue.pyx offers to other modules here, as a capsule like `PixelsInterface`."""

from libc.stdint cimport int64_t

ctypedef int64_t (*DiskBytesOf)(object, object) except -1

cdef struct CatalogueInterface:
    DiskBytesOf disk_bytes_of
