"""The SHA-256 and the JPEG walk of many tiles, in one stretch without the GIL."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy

from _constants cimport SHA256_BYTES
from _jpeg cimport JpegWalk, walk_jpeg_bytes

import hashlib

cdef extern from "<dlfcn.h>":
    enum:
        RTLD_NOLOAD
        RTLD_NOW
    void *dlopen(const char *name, int flags)
    void *dlsym(void *library, const char *name)


cdef enum:
    HASHED_WITH_THE_GIL = 1 << 18  # bytes; a fifth of a millisecond, of a switch interval of five


cdef struct Hashing:
    const unsigned char *bytes
    size_t length
    unsigned char *digest
    bint *done
    JpegWalk *walk


cdef HashFunction find_openssl_sha256() noexcept:
    """OpenSSL's SHA256 in the library that `hashlib` has loaded; NULL where no such library is loaded."""
    cdef void *library = NULL
    for name in (b"libcrypto.so.3", b"libcrypto.so.1.1"):
        library = dlopen(name, RTLD_NOW | RTLD_NOLOAD)
        if library != NULL:
            return <HashFunction>dlsym(library, b"SHA256")
    return NULL


cdef HashFunction openssl_sha256 = find_openssl_sha256()


@cython.final
cdef class HashedPixels:
    """A tile's bytes, their SHA-256 once `hash_pixels` has computed it, and the walk over their markers. `GatedWrite` refuses unhashed ones."""

    def __cinit__(self, bytes pixels not None):
        self.pixels = pixels

    cdef int hash(self) except -1:
        """Hash and walk; a few hundred kilobytes are done before another thread would get its turn."""
        cdef Hashing work = Hashing(self.pixels, len(self.pixels), &self.digest[0], &self.is_hashed, &self.walk)
        if openssl_sha256 != NULL and work.length <= HASHED_WITH_THE_GIL:
            hash_and_walk(&work)
        else:
            with nogil:
                hash_and_walk(&work)
        if not self.is_hashed:
            hash_slowly(self)
        return 0


def hash_pixels(many not None):
    """The SHA-256 of each of many tiles' bytes and the walk over its markers, in one stretch without the GIL.

    Only where OpenSSL's library can't be found, `hashlib` hashes each, and takes the GIL between two of them.
    """
    cdef list hashed = [HashedPixels(pixels) for pixels in many]
    cdef Py_ssize_t count = len(hashed)
    cdef Py_ssize_t position
    cdef HashedPixels one
    cdef Hashing *work = <Hashing *>PyMem_Malloc((count + 1) * sizeof(Hashing))
    if work == NULL:
        raise MemoryError
    try:
        for position in range(count):
            one = <HashedPixels>hashed[position]
            work[position] = Hashing(one.pixels, len(one.pixels), &one.digest[0], &one.is_hashed, &one.walk)
        with nogil:
            for position in range(count):
                hash_and_walk(&work[position])
    finally:
        PyMem_Free(work)
    for one in hashed:
        if not one.is_hashed:
            hash_slowly(one)
    return hashed


cdef int hash_slowly(HashedPixels one) except -1:
    digest = hashlib.sha256(one.pixels).digest()
    memcpy(one.digest, <const char *><bytes>digest, SHA256_BYTES)
    one.is_hashed = True
    return 0


cdef inline void hash_and_walk(Hashing *work) noexcept nogil:
    work.walk[0] = walk_jpeg_bytes(work.bytes, work.length)
    if openssl_sha256 != NULL:
        work.done[0] = openssl_sha256(work.bytes, work.length, work.digest) != NULL
