"""What other modules of the extension use of hashed pixels."""

cimport cython

from _constants cimport SHA256_BYTES
from _jpeg cimport JpegWalk


@cython.final
cdef class HashedPixels:
    cdef bytes pixels
    cdef bint is_hashed
    cdef unsigned char[SHA256_BYTES] digest
    cdef JpegWalk walk
    cdef int hash(self) except -1
