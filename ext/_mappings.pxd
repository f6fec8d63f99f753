"""A mapped file shared by any number of handles, and the graveyard where the last of them leaves it.

Counts are kept under the GIL. `munmap` stops every thread of the process that is in the kernel for its memory,
so a mapping that was kept is not unmapped by whoever drops it last, but buried, and unmapped in batches by a
thread that has the time.
"""

from cpython.object cimport PyObject
from libc.stdlib cimport free, malloc

from _posix cimport munmap


cdef struct Burial:
    void *address
    size_t length


cdef struct Graveyard:
    Py_ssize_t references
    Py_ssize_t capacity
    Py_ssize_t count
    Py_ssize_t overflowed  # mappings that found it full and were unmapped on the spot
    bint closed            # nobody empties it any more
    Burial *waiting


cdef struct Mapping:
    Py_ssize_t references
    void *address
    Py_ssize_t length
    Graveyard *graveyard   # NULL: unmapped by whoever drops it last


# What pixels.pyx offers to other modules here, as a capsule: a `cimport` would need the root folder's name.
ctypedef object (*HandleOn)(Mapping *)
ctypedef Mapping *(*MappingOf)(object) except NULL

cdef struct PixelsInterface:
    HandleOn handle_on
    MappingOf mapping_of


cdef inline Graveyard *new_graveyard(Py_ssize_t capacity) noexcept:
    """An empty one with one reference; NULL without memory."""
    cdef Graveyard *graveyard = <Graveyard *>malloc(sizeof(Graveyard))
    if graveyard == NULL:
        return NULL
    graveyard.waiting = <Burial *>malloc(capacity * sizeof(Burial))
    if graveyard.waiting == NULL:
        free(graveyard)
        return NULL
    graveyard.references = 1
    graveyard.capacity = capacity
    graveyard.count = 0
    graveyard.overflowed = 0
    graveyard.closed = False
    return graveyard


cdef inline int leave_graveyard(Graveyard *graveyard) noexcept:
    """Give up one reference to it."""
    graveyard.references -= 1
    if graveyard.references == 0:
        free(graveyard.waiting)
        free(graveyard)
    return 0


cdef inline int assign_graveyard(Mapping *mapping, Graveyard *graveyard) noexcept:
    """Let the mapping end there, unless it has one."""
    if mapping.graveyard == NULL:
        graveyard.references += 1
        mapping.graveyard = graveyard
    return 0


cdef inline int let_go(Mapping *mapping) noexcept:
    """Give up one reference to a mapping. The last one may release the GIL: call it when all else is done."""
    cdef Graveyard *graveyard = mapping.graveyard
    cdef void *address = mapping.address
    cdef size_t length = <size_t>mapping.length
    mapping.references -= 1
    if mapping.references != 0:
        return 0
    free(mapping)
    if graveyard != NULL:
        if not graveyard.closed and graveyard.count < graveyard.capacity:
            graveyard.waiting[graveyard.count].address = address
            graveyard.waiting[graveyard.count].length = length
            graveyard.count += 1
            address = NULL
        elif not graveyard.closed:
            graveyard.overflowed += 1
        leave_graveyard(graveyard)
    if address != NULL:
        with nogil:
            munmap(address, length)
    return 0


cdef inline Py_ssize_t empty_graveyard(Graveyard *graveyard) noexcept:
    """Unmap what waits there, without the GIL; how many that were. The caller holds a reference."""
    cdef Burial batch[256]
    cdef Py_ssize_t released = 0
    cdef Py_ssize_t taken, place
    while graveyard.count > 0:
        taken = min(graveyard.count, <Py_ssize_t>256)
        graveyard.count -= taken
        for place in range(taken):
            batch[place] = graveyard.waiting[graveyard.count + place]
        with nogil:
            for place in range(taken):
                munmap(batch[place].address, batch[place].length)
        released += taken
    return released
