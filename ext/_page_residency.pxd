"""Whether mapped pages are in memory, for kernels that can't say so of a file."""

from _posix cimport mincore


cdef inline bint is_in_core(void *address, Py_ssize_t length, Py_ssize_t page_bytes) noexcept nogil:
    cdef unsigned char pages[256]
    cdef Py_ssize_t count, place
    while length > 0:
        count = min(<Py_ssize_t>sizeof(pages), (length + page_bytes - 1) // page_bytes)
        if mincore(address, <size_t>min(length, count * page_bytes), pages) != 0:
            return False
        for place in range(count):
            if not pages[place] & 1:
                return False
        address = <char *>address + count * page_bytes
        length -= count * page_bytes
    return True
