"""A tile file mapped read-only into memory."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE
from libc.errno cimport EAGAIN, EFAULT, EINTR, EINVAL, EIO, ENODATA, ENOSYS, EPERM, errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

from _mappings cimport Mapping, new_part, release_mapping
from _posix cimport (
    AEROTILE_MADV_POPULATE_READ,
    MAP_FAILED,
    MAP_SHARED,
    PROT_READ,
    _SC_PAGESIZE,
    aerotile_cached_pages,
    close_quietly,
    getpid,
    iovec,
    madvise,
    mlock,
    mmap,
    munmap,
    open_beneath as open_beneath_root,
    process_vm_readv,
    sysconf,
)
from _regular_file cimport open_regular
from _page_residency cimport is_in_core
from _tile_parts cimport TILE_PATH_BYTES, TilePartsLayout, TileParts, learn_parts_layout, parts_of, put_path

import os
from uuid import UUID

from ..domain.values.pixels import TilePixelHandle
from ..domain.values.tiles import TileId, TileSource

cdef char *UNSIGNED_BYTE = b"B"
cdef Py_ssize_t PAGE_BYTES = sysconf(_SC_PAGESIZE)
cdef TilePartsLayout layout
learn_parts_layout(&layout, TileId, TileSource, UUID)


def open_beneath(int directory, str path not None, int flags):
    """Open what is at `path` below the folder `directory` and return its descriptor; close-on-exec is set.

    No symbolic link is followed, also not in the middle of the path, and no path leaves the folder. `flags`
    are `os.O_...`. Raises `OSError` with the errno of the open (ELOOP or ENOTDIR for a symbolic link), and
    `ValueError` for a path with a NUL in it.
    """
    cdef bytes name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError(f"a path can't hold a NUL, got {path!r}")
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


cdef int map_regular(
    int directory, const char *path, bint only_cached, Mapping *mapping, bint *resident
) noexcept nogil:
    """Map the file and tell whether all of it is in memory; 0, or the errno that says why not."""
    cdef int descriptor
    cdef Py_ssize_t length = 0
    cdef void *address
    cdef int failure = open_regular(directory, path, only_cached, &descriptor, &length)
    if failure != 0:
        return failure
    # MAP_SHARED of a descriptor opened for reading only, which not even `mprotect` can make writable; a
    # private mapping could be.
    address = mmap(NULL, <size_t>length, PROT_READ, MAP_SHARED, descriptor, 0)
    if address == MAP_FAILED:
        failure = errno
    else:
        mapping.address = address
        mapping.length = length
        resident[0] = is_resident(descriptor, address, length)
    close_quietly(descriptor)
    return failure


cdef bint is_resident(int descriptor, void *address, Py_ssize_t length) noexcept nogil:
    """Whether every page is in memory, so that touching it waits for no disk.

    Asked by `cachestat` where the kernel has it, else by `mincore`, which takes 2 us instead of 1, and which
    tells the truth to the file's owner and to those who may write it; to others every page is said to be there.
    """
    cdef int64_t cached = aerotile_cached_pages(descriptor, <uint64_t>length)
    if cached >= 0:
        return cached >= (length + PAGE_BYTES - 1) // PAGE_BYTES
    return is_in_core(address, length, PAGE_BYTES)


cdef inline int touch(char byte) noexcept nogil:
    return byte


cdef int populate_by_copies(char *page, Py_ssize_t length) noexcept nogil:
    """`populate` by a copy of a byte of each page, where a failing disk is an error of the copy.

    Where a sandbox forbids such copies the pages are touched, and a failing disk is a SIGBUS.
    """
    cdef char bytes_of_pages[256]
    cdef iovec here
    cdef iovec there[256]
    cdef Py_ssize_t position = 0, first, count
    while position < length:
        first, count = position, 0
        while position < length and count < 256:
            there[count].iov_base = page + position
            there[count].iov_len = 1
            count += 1
            position += PAGE_BYTES
        here.iov_base = bytes_of_pages
        here.iov_len = <size_t>count
        if process_vm_readv(getpid(), &here, 1, there, <unsigned long>count, 0) == count:
            continue
        if errno == ENOSYS or errno == EPERM:
            while first < length:
                touch((<volatile char *>page)[first])
                first += PAGE_BYTES
            return 0
        return EIO  # EFAULT, or fewer bytes than were asked for
    return 0


cdef int populate(void *address, Py_ssize_t length) noexcept nogil:
    """Bring every page into memory; 0, or the errno of the disk that failed."""
    cdef Py_ssize_t before = <Py_ssize_t>(<size_t>address % <size_t>PAGE_BYTES)  # a part begins within a page
    address = <char *>address - before
    length += before
    while madvise(address, <size_t>length, AEROTILE_MADV_POPULATE_READ) != 0:
        if errno == EINVAL:  # a kernel before 5.14
            return populate_by_copies(<char *>address, length)
        if errno == EFAULT:  # how the kernel says what a touch would have said with SIGBUS
            return EIO
        if errno != EINTR and errno != EAGAIN:
            return errno
    return 0


cdef MappedPixels mapped(int directory, tile_id, bint only_cached):
    """A handle on the tile's file; None when `only_cached` and its path is not."""
    cdef TileParts parts
    cdef char path[TILE_PATH_BYTES]
    cdef bint resident = False
    cdef Mapping *mapping
    cdef MappedPixels handle
    cdef int failure
    parts_of(&layout, tile_id, &parts)
    put_path(&layout, &parts, path)
    mapping = <Mapping *>malloc(sizeof(Mapping))
    if mapping == NULL:
        raise MemoryError
    if only_cached:
        failure = map_regular(directory, path, True, mapping, &resident)
    else:
        with nogil:
            failure = map_regular(directory, path, False, mapping, &resident)
    if failure != 0:
        free(mapping)
        if only_cached and failure == EAGAIN:
            return None
        raise disk_error(failure, path)
    mapping.references = 0
    mapping.queue = NULL
    mapping.whole = NULL
    handle = new_handle(mapping)
    handle.was_resident = resident
    return handle


cdef object disk_error(int failure, const char *path):
    reason = "the file is empty" if failure == ENODATA else os.strerror(failure)
    return OSError(failure, reason, path.decode("ascii"))


def map_tile(int directory, tile_id):
    """Map the file of a tile below the folder `directory`, and wait until all of it is in memory.

    No symbolic link is followed. The mapping outlives the file's name and the descriptor. Runs without the
    GIL. Raises `OSError`: the errno of open, fstat or mmap; EISDIR or EINVAL for what is no regular file,
    ENODATA for an empty one, EIO for one that the disk fails to give. A file that is cut short while it is
    mapped kills its readers with SIGBUS: files are replaced by rename, never in place.
    """
    cdef MappedPixels handle = mapped(directory, tile_id, False)
    handle.prefault()
    return handle


def map_cached_tile(int directory, tile_id):
    """`map_tile` that waits for no disk and keeps the GIL; None when the caches do not have the whole path.

    The handle's `was_resident` says whether the caches have the whole content too.
    """
    return mapped(directory, tile_id, True)


def map_file(int descriptor):
    """Map an open regular file as it is; no page is read yet. The mapping outlives the descriptor.

    Raises `OSError`, ENODATA for an empty file.
    """
    cdef Mapping *mapping
    cdef Py_ssize_t length = os.fstat(descriptor).st_size
    cdef void *address
    if length == 0:
        raise OSError(ENODATA, "the file is empty")
    address = mmap(NULL, <size_t>length, PROT_READ, MAP_SHARED, descriptor, 0)
    if address == MAP_FAILED:
        raise OSError(errno, os.strerror(errno))
    mapping = <Mapping *>malloc(sizeof(Mapping))
    if mapping == NULL:
        munmap(address, <size_t>length)
        raise MemoryError
    mapping.references = 0
    mapping.address = address
    mapping.length = length
    mapping.queue = NULL
    mapping.whole = NULL
    return new_handle(mapping)


@cython.final
@cython.freelist(64)
cdef class MappedPixels:
    """The bytes of one file as a read-only buffer, shared with the page cache.

    Made by `map_tile` or `map_file`. Handles on the same file may share one mapping, which ends with the last of them.
    """

    def __init__(self):
        raise TypeError("pixels are mapped by `map_tile`")

    def __dealloc__(self):
        # A view holds a reference to this object, so none is alive here, and `viewed` is NULL.
        if self.mapping != NULL:
            release_mapping(self.mapping)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("the pixels of a tile are read-only")
        if self.mapping == NULL:
            raise ValueError("the pixels are closed")
        buffer.buf = self.mapping.address
        buffer.obj = self
        buffer.len = self.mapping.length
        buffer.itemsize = 1
        buffer.readonly = 1
        buffer.ndim = 1
        buffer.format = UNSIGNED_BYTE if flags & PyBUF_FORMAT else NULL
        buffer.shape = &self.mapping.length if flags & PyBUF_ND else NULL
        buffer.strides = &buffer.itemsize if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        buffer.suboffsets = NULL
        buffer.internal = NULL
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        cdef Mapping *viewed
        self.exports -= 1
        if self.exports == 0 and self.viewed != NULL:
            viewed = self.viewed
            self.viewed = NULL
            release_mapping(viewed)

    @property
    def nbytes(self):
        """Length in bytes. Raises `ValueError` after `close`."""
        if self.mapping == NULL:
            raise ValueError("the pixels are closed")
        return self.mapping.length

    @property
    def closed(self):
        """Whether this handle was closed or left; views may keep its memory alive."""
        return self.mapping == NULL

    def share(self):
        """Another handle on the same memory, closed on its own. Raises `ValueError` after `close`."""
        if self.mapping == NULL:
            raise ValueError("the pixels are closed")
        return new_handle(self.mapping)

    def part(self, Py_ssize_t offset, Py_ssize_t length):
        """A handle on some of the bytes, closed on its own; the whole stays mapped as long as it lives.

        Raises `ValueError` after `close`, and for bytes that are not within this handle's.
        """
        cdef Mapping *part
        if self.mapping == NULL:
            raise ValueError("the pixels are closed")
        if offset < 0 or length <= 0 or offset > self.mapping.length or length > self.mapping.length - offset:
            raise ValueError(f"{length} bytes from {offset} on are not within {self.mapping.length} bytes")
        if self.mapping.whole != NULL:
            raise ValueError("a part of the pixels has no parts")
        part = new_part(self.mapping, offset, length)
        if part == NULL:
            raise MemoryError
        return new_handle(part)

    @property
    def is_resident(self):
        """Whether every page is in memory, so that `prefault` waits for no disk. Raises `ValueError` after `close`.

        True for a file that this user neither owns nor may write: of such a file the kernel does not say it.
        """
        cdef size_t before
        if self.mapping == NULL:
            raise ValueError("the pixels are closed")
        before = <size_t>self.mapping.address % <size_t>PAGE_BYTES  # a part begins within a page
        return is_in_core(
            <char *>self.mapping.address - before, self.mapping.length + <Py_ssize_t>before, PAGE_BYTES
        )

    def lock(self):
        """Bring every page into memory, without the GIL, and keep all of them there as long as they are mapped.

        Raises `OSError`: ENOMEM or EPERM where the limit of locked memory is too low, EIO where the disk fails.
        """
        cdef Mapping *mapping = self.mapping
        cdef int failure
        if mapping == NULL:
            raise ValueError("the pixels are closed")
        mapping.references += 1  # a `close` in another thread must not take it away meanwhile
        with nogil:
            failure = populate(mapping.address, mapping.length)
            if failure == 0 and mlock(mapping.address, <size_t>mapping.length) != 0:
                failure = errno
        release_mapping(mapping)
        if failure != 0:
            raise OSError(failure, os.strerror(failure))

    def prefault(self):
        """Wait, without the GIL, until all of it is in memory. Raises `OSError` when the disk fails."""
        cdef Mapping *mapping = self.mapping
        cdef int failure
        if mapping == NULL:
            raise ValueError("the pixels are closed")
        mapping.references += 1  # a `close` in another thread must not take it away meanwhile
        with nogil:
            failure = populate(mapping.address, mapping.length)
        release_mapping(mapping)
        if failure != 0:
            raise OSError(failure, os.strerror(failure))

    def close(self):
        """Give the memory back; a second call does nothing. Raises `BufferError` while views are alive."""
        if self.mapping != NULL and self.exports != 0:
            raise BufferError(f"can't close: views of the pixels are alive ({self.exports})")
        self.leave()

    cdef void leave(self) noexcept:
        """Close the handle. While views are alive the mapping waits in `viewed` for the last of them."""
        cdef Mapping *mapping = self.mapping
        if mapping == NULL:
            return
        # Cleared before the GIL may go: another thread sees a closed handle, never a stale address.
        self.mapping = NULL
        if self.exports != 0:
            self.viewed = mapping
        else:
            release_mapping(mapping)

    def __reduce__(self):
        raise TypeError("pixels are not pickled: send their bytes, or read the tile in the other process")

    def __enter__(self):
        if self.mapping == NULL:
            raise ValueError("the pixels are closed")
        return self

    def __exit__(self, kind, error, trace):
        self.leave()


TilePixelHandle.register(MappedPixels)  # an extension type can't inherit from a class in Python


cdef MappedPixels new_handle(Mapping *mapping):
    """A new handle with its own reference to the mapping."""
    cdef MappedPixels handle = MappedPixels.__new__(MappedPixels)
    mapping.references += 1
    handle.mapping = mapping
    handle.was_resident = True
    return handle


cdef Mapping *mapping_of(object handle) except NULL:
    """The mapping that a handle stands for, borrowed."""
    if type(handle) is not MappedPixels:
        raise TypeError(f"expected MappedPixels, got {type(handle).__name__}")
    if (<MappedPixels>handle).mapping == NULL:
        raise ValueError("the pixels are closed")
    return (<MappedPixels>handle).mapping
