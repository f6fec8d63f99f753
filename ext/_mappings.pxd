"""A mapped file shared by any number of handles, and the queue of mappings that wait for their `munmap`.

The GIL guards the reference counts and the queue. `munmap` stops every thread of the process that is in the kernel
for its memory. So the last handle on a cached mapping does not unmap: it queues the mapping, and a thread that has
the time unmaps in batches.
"""

from libc.stdlib cimport free, malloc

from _posix cimport munmap


cdef struct PendingUnmap:
    void *address
    size_t length


cdef struct UnmapQueue:
    Py_ssize_t references
    Py_ssize_t capacity
    Py_ssize_t count
    Py_ssize_t overflowed  # mappings that found the queue full, so that their last handle unmapped them
    bint closed            # no thread empties the queue any more
    PendingUnmap *pending


cdef struct Mapping:
    Py_ssize_t references
    void *address
    Py_ssize_t length
    UnmapQueue *queue      # NULL: the last handle unmaps
    Mapping *whole         # the mapping that this one is a part of, and holds a reference to; NULL: none


cdef inline UnmapQueue *new_unmap_queue(Py_ssize_t capacity) noexcept:
    """An empty queue with one reference; NULL without memory."""
    cdef UnmapQueue *queue = <UnmapQueue *>malloc(sizeof(UnmapQueue))
    if queue == NULL:
        return NULL
    queue.pending = <PendingUnmap *>malloc(capacity * sizeof(PendingUnmap))
    if queue.pending == NULL:
        free(queue)
        return NULL
    queue.references = 1
    queue.capacity = capacity
    queue.count = 0
    queue.overflowed = 0
    queue.closed = False
    return queue


cdef inline int release_unmap_queue(UnmapQueue *queue) noexcept:
    """Give up one reference to the queue."""
    queue.references -= 1
    if queue.references == 0:
        free(queue.pending)
        free(queue)
    return 0


cdef inline int assign_unmap_queue(Mapping *mapping, UnmapQueue *queue) noexcept:
    """Let the mapping end in the queue, unless the mapping has one."""
    if mapping.queue == NULL:
        queue.references += 1
        mapping.queue = queue
    return 0


cdef inline int release_mapping(Mapping *mapping) noexcept:
    """Give up one reference to a mapping. The last one may release the GIL: make this the caller's last step."""
    cdef UnmapQueue *queue
    cdef Mapping *whole
    cdef void *address
    cdef size_t length
    mapping.references -= 1
    if mapping.references != 0:
        return 0
    whole = mapping.whole
    if whole != NULL:  # a part has no address of its own to unmap, and a whole is no part
        free(mapping)
        mapping = whole
        mapping.references -= 1
        if mapping.references != 0:
            return 0
    queue = mapping.queue
    address = mapping.address
    length = <size_t>mapping.length
    free(mapping)
    if queue != NULL:
        if not queue.closed and queue.count < queue.capacity:
            queue.pending[queue.count].address = address
            queue.pending[queue.count].length = length
            queue.count += 1
            address = NULL
        elif not queue.closed:
            queue.overflowed += 1
        release_unmap_queue(queue)
    if address != NULL:
        with nogil:
            munmap(address, length)
    return 0


cdef inline Mapping *new_part(Mapping *whole, Py_ssize_t offset, Py_ssize_t length) noexcept:
    """Bytes of a mapping as a mapping without a reference yet; NULL without memory. The bytes lie within `whole`."""
    cdef Mapping *part = <Mapping *>malloc(sizeof(Mapping))
    if part == NULL:
        return NULL
    part.references = 0
    part.address = <char *>whole.address + offset
    part.length = length
    part.queue = NULL
    part.whole = whole
    whole.references += 1
    return part


cdef inline Py_ssize_t unmap_pending(UnmapQueue *queue) noexcept:
    """Unmap without the GIL what the queue holds; how many mappings. The caller holds a reference to the queue."""
    cdef PendingUnmap batch[256]
    cdef Py_ssize_t released = 0
    cdef Py_ssize_t taken, position
    while queue.count > 0:
        taken = min(queue.count, <Py_ssize_t>256)
        queue.count -= taken
        for position in range(taken):
            batch[position] = queue.pending[queue.count + position]
        with nogil:
            for position in range(taken):
                munmap(batch[position].address, batch[position].length)
        released += taken
    return released
