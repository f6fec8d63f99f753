"""Bytes that grow in memory pages of their own: freed pages go back to the system, not to the heap of a thread."""

from libc.string cimport memcpy

from _posix cimport (
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    MREMAP_MAYMOVE,
    PROT_READ,
    PROT_WRITE,
    mmap,
    mremap,
    munmap,
)

cdef enum:
    FIRST_CAPACITY = 1 << 16


cdef struct Growing:
    char *bytes
    size_t length
    size_t capacity


cdef inline int release(Growing *growing) noexcept nogil:
    if growing.bytes != NULL:
        munmap(growing.bytes, growing.capacity)
    return 0


cdef inline int append(Growing *growing, const void *bytes, size_t length) noexcept nogil:
    """Append up to `FIRST_CAPACITY` bytes; -1 with errno."""
    cdef size_t capacity = growing.capacity
    cdef void *moved
    if capacity - growing.length < length:
        capacity += FIRST_CAPACITY + capacity // 2
        if growing.bytes == NULL:
            moved = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        else:
            moved = mremap(growing.bytes, growing.capacity, capacity, MREMAP_MAYMOVE)
        if moved == MAP_FAILED:
            return -1
        growing.bytes = <char *>moved
        growing.capacity = capacity
    memcpy(growing.bytes + growing.length, bytes, length)
    growing.length += length
    return 0
