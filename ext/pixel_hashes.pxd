"""What other modules of the extension use of hashes."""

cimport cython

from _constants cimport SHA256_BYTES
from _jpeg cimport JpegWalk

ctypedef unsigned char *(*HashFunction)(const unsigned char *bytes, size_t length, unsigned char *digest) noexcept nogil

cdef HashFunction openssl_sha256  # NULL where its library is not loaded


@cython.final
cdef class HashedPixels:
    cdef bytes pixels
    cdef bint is_hashed
    cdef unsigned char[SHA256_BYTES] digest
    cdef JpegWalk walk
    cdef int hash(self) except -1
