"""What other modules of the extension use of the mapping cache, without a call through Python."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

from _mapping_keys cimport MappingKey
from _mapping_table cimport MappingTable
from _mappings cimport Mapping, UnmapQueue

cdef enum:
    INVALIDATION_COUNTERS = 4096  # a ticket is also void when another tile of its counter was invalidated: rare


cdef struct NotedRead:
    PyObject *tile_id
    uint64_t read_at


@cython.final
cdef class CompiledMappingCache:
    cdef object when_full, when_waiting, __weakref__
    cdef MappingTable table
    cdef Py_ssize_t max_count, max_bytes
    cdef Py_ssize_t hand         # the entry that the eviction looked at last
    cdef UnmapQueue *unmap_queue
    cdef bint closed, woken
    cdef uint32_t invalidations[INVALIDATION_COUNTERS]
    cdef uint64_t tick, drained_at
    cdef Py_ssize_t undrained, flush_entries
    cdef NotedRead *noted        # reads of tiles that are not cached: a ring, the oldest overwritten
    cdef Py_ssize_t noted_first, noted_count, noted_capacity
    cdef Py_ssize_t hits, misses, evicted, released

    cdef object get_by_key(self, const MappingKey *key)
    cdef uint32_t ticket_by_key(self, const MappingKey *key) noexcept
    cdef object put_by_key(
        self, const MappingKey *key, object tile_id, object handle, Mapping *mapping, uint32_t ticket
    )
    cdef int note_id(self, object tile_id) except -1
    cdef int count_undrained(self) except -1
    cdef int remove(self, Py_ssize_t number, bint noting) noexcept
    cdef int evict(self) except -1
    cdef PyObject *note_read(self, PyObject *tile_id, uint64_t read_at) noexcept
