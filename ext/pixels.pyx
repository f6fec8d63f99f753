"""A tile file mapped read-only into memory."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE
from libc.errno cimport EBADMSG, EINVAL, EISDIR, ENODATA, errno

from _posix cimport (
    MAP_FAILED,
    MAP_SHARED,
    O_NONBLOCK,
    O_RDONLY,
    PROT_READ,
    S_ISDIR,
    S_ISREG,
    close_quietly,
    fstat,
    mmap,
    munmap,
    open_beneath as open_beneath_root,
    stat_facts,
)

import os

cdef char *UNSIGNED_BYTE = b"B"


cdef bytes encoded(str path):
    """The path as the kernel takes it. Raises `ValueError` for a path with a NUL in it."""
    cdef bytes name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError(f"a path can't hold a NUL, got {path!r}")
    return name


def open_beneath(int directory, str path not None, int flags):
    """Open what is at `path` below the folder `directory` and return its descriptor; close-on-exec is set.

    No symbolic link is followed, also not in the middle of the path, and no path leaves the folder. `flags`
    are `os.O_...`. Raises `OSError` with the errno of the open (ELOOP or ENOTDIR for a symbolic link).
    """
    cdef bytes name = encoded(path)
    cdef const char *name_bytes = name
    cdef int descriptor
    cdef int failure = 0
    with nogil:
        descriptor = open_beneath_root(directory, name_bytes, flags)
        if descriptor < 0:
            failure = errno
    if failure != 0:
        raise OSError(failure, os.strerror(failure), path)
    return descriptor


@cython.final
cdef class MappedPixels:
    """The bytes of one file as a read-only buffer, shared with the page cache.

    `MappedPixels(directory, path, expected_bytes=0)` opens `path` below the folder that the descriptor
    `directory` stands for, following no symbolic link. The mapping outlives the file's name and the
    descriptor. It is MAP_SHARED of a descriptor opened for reading only, which not even `mprotect` can make
    writable; a private mapping could be.

    Raises `OSError`: the errno of open, fstat or mmap; EISDIR or EINVAL for what is no regular file; ENODATA
    for an empty file; EBADMSG when `expected_bytes` is given and the file has another length. A file that is
    cut short while it is mapped kills its readers with SIGBUS: files are replaced by rename, never in place.
    """

    cdef void *address
    cdef Py_ssize_t length
    cdef Py_ssize_t exports

    def __cinit__(self, int directory, str path not None, Py_ssize_t expected_bytes=0):
        cdef bytes name = encoded(path)
        cdef const char *name_bytes = name
        cdef int failure
        with nogil:
            failure = self.map_file(directory, name_bytes, expected_bytes)
        if failure == ENODATA:
            raise OSError(failure, "the file is empty", path)
        if failure == EBADMSG:
            raise OSError(failure, f"the file does not have the expected {expected_bytes} bytes", path)
        if failure != 0:
            raise OSError(failure, os.strerror(failure), path)

    cdef int map_file(self, int directory, const char *path, Py_ssize_t expected_bytes) noexcept nogil:
        """Map the file; 0, or the errno that says why not."""
        cdef stat_facts facts
        cdef void *address
        cdef int failure = 0
        # O_NONBLOCK: a FIFO put in the file's place must not hang the reader; regular files ignore it.
        cdef int descriptor = open_beneath_root(directory, path, O_RDONLY | O_NONBLOCK)
        if descriptor < 0:
            return errno
        if fstat(descriptor, &facts) != 0:
            failure = errno
        elif S_ISDIR(facts.st_mode):
            failure = EISDIR
        elif not S_ISREG(facts.st_mode):
            failure = EINVAL
        elif facts.st_size == 0:
            failure = ENODATA
        elif expected_bytes != 0 and facts.st_size != expected_bytes:
            failure = EBADMSG
        else:
            address = mmap(NULL, <size_t>facts.st_size, PROT_READ, MAP_SHARED, descriptor, 0)
            if address == MAP_FAILED:
                failure = errno
            else:
                self.address = address
                self.length = facts.st_size
        close_quietly(descriptor)
        return failure

    def __dealloc__(self):
        # A view holds a reference to this object, so none is alive here.
        self.unmap()

    cdef int unmap(self) noexcept:
        """Give the memory back; does nothing when it was given back before."""
        cdef void *address = self.address
        cdef Py_ssize_t length = self.length
        if address == NULL:
            return 0
        # Cleared before the GIL goes: another thread sees a closed handle, never a stale address.
        self.address = NULL
        with nogil:
            munmap(address, <size_t>length)
        return 0

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("the pixels of a tile are read-only")
        if self.address == NULL:
            raise ValueError("the pixels are closed")
        buffer.buf = self.address
        buffer.obj = self
        buffer.len = self.length
        buffer.itemsize = 1
        buffer.readonly = 1
        buffer.ndim = 1
        buffer.format = UNSIGNED_BYTE if flags & PyBUF_FORMAT else NULL
        buffer.shape = &self.length if flags & PyBUF_ND else NULL
        buffer.strides = &buffer.itemsize if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        buffer.suboffsets = NULL
        buffer.internal = NULL
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self.exports -= 1

    @property
    def nbytes(self):
        """Length in bytes. Raises `ValueError` after `close`."""
        if self.address == NULL:
            raise ValueError("the pixels are closed")
        return self.length

    @property
    def closed(self):
        """Whether the memory was given back."""
        return self.address == NULL

    def close(self):
        """Give the memory back; a second call does nothing. Raises `BufferError` while views are alive."""
        if self.exports != 0:
            raise BufferError(f"can't close: views of the pixels are alive ({self.exports})")
        self.unmap()

    def __enter__(self):
        if self.address == NULL:
            raise ValueError("the pixels are closed")
        return self

    def __exit__(self, kind, error, trace):
        self.close()
