"""Mapped tiles that stay open between reads, with second-chance eviction.

The GIL is the only lock. Dropping the last reference to a mapping or to a `TileId` may release the GIL, so a method
drops references when the table is consistent again.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort

from _constants cimport MAX_MAPPINGS
from _mapping_keys cimport MappingKey, mapping_key_of
from _mapping_table cimport Entry, add_entry, allocate_table, find_entry, free_table, take_out
from _mappings cimport (
    Mapping,
    assign_unmap_queue,
    new_unmap_queue,
    release_mapping,
    release_unmap_queue,
    unmap_pending,
)
from _tile_parts cimport TilePartsLayout, TileParts, learn_parts_layout, parts_of
from aerotile.ext.mapped_pixels cimport mapping_of, new_handle

from uuid import UUID

from ..domain.ports.mapping_cache import MappingCacheCounts, MAX_NOTED
from ..domain.values.tiles import TileId, TileSource

cdef TilePartsLayout layout
learn_parts_layout(&layout, TileId, TileSource, UUID)

cdef enum:
    MAX_STEPS = 64               # of the hand: beyond it the next tile is evicted, used or not, so that no reader waits
    MAX_PENDING_UNMAPS = 4096    # mappings that may wait for `release`
    PENDING_UNMAPS_TO_WAKE = 1024


cdef int earlier_first(const void *one, const void *other) noexcept nogil:
    cdef uint64_t first = (<const NotedRead *>one).read_at
    cdef uint64_t second = (<const NotedRead *>other).read_at
    return (first > second) - (first < second)


cdef inline int key_of(object tile_id, MappingKey *key) except -1:
    cdef TileParts parts
    parts_of(&layout, tile_id, &parts)
    mapping_key_of(&parts, key)
    return 0


@cython.final
cdef class CompiledMappingCache:
    """`MappingCache` over `MappedPixels`, bounded by count and bytes.

    It caches up to `max_count` mappings of together `max_bytes`. `when_full` is called on the reading thread when
    `flush_entries` tiles were read since the last drain, `when_waiting` when many mappings wait for `release`;
    both must return without waiting. A reader unmaps nothing, unless 4,096 mappings wait already. Raises `ValueError`
    for bounds below 0 or too large, `MemoryError`.
    """

    def __cinit__(
        self, *, Py_ssize_t max_count, Py_ssize_t max_bytes, Py_ssize_t flush_entries=1000, when_full=None,
        when_waiting=None,
    ):
        if not 0 <= max_count <= MAX_MAPPINGS or max_bytes < 0 or flush_entries < 1:
            raise ValueError(
                f"can't cache {max_count!r} mappings of {max_bytes!r} bytes with {flush_entries!r} entries to a flush"
            )
        self.max_count = max_count
        self.max_bytes = max_bytes
        self.flush_entries = flush_entries
        self.when_full = when_full
        self.when_waiting = when_waiting
        self.noted_capacity = MAX_NOTED
        self.noted = <NotedRead *>malloc(self.noted_capacity * sizeof(NotedRead))
        self.unmap_queue = new_unmap_queue(MAX_PENDING_UNMAPS)
        if allocate_table(&self.table, max_count) != 0 or self.noted == NULL or self.unmap_queue == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Py_ssize_t number
        if self.unmap_queue != NULL:
            self.unmap_queue.closed = True
            for number in range(self.table.used_entries):
                if self.table.entries[number].mapping != NULL:
                    release_mapping(self.table.entries[number].mapping)
                    Py_DECREF(<object>self.table.entries[number].tile_id)
            unmap_pending(self.unmap_queue)
            release_unmap_queue(self.unmap_queue)
        for number in range(self.noted_count):
            Py_DECREF(<object>self.noted[(self.noted_first + number) % self.noted_capacity].tile_id)
        free_table(&self.table)
        free(self.noted)

    def get(self, tile_id):
        """See `MappingCache`. Raises `TypeError` for anything but a `TileId`."""
        cdef MappingKey key
        key_of(tile_id, &key)
        return self.get_by_key(&key)

    cdef object get_by_key(self, const MappingKey *key):
        cdef Entry *entry
        cdef Py_ssize_t number = find_entry(&self.table, key)
        if number < 0:
            self.misses += 1
            return None
        entry = &self.table.entries[number]
        handle = new_handle(entry.mapping)
        self.hits += 1
        entry.used = True
        self.tick += 1
        if entry.read_at <= self.drained_at:
            entry.read_at = self.tick
            self.count_undrained()
        else:
            entry.read_at = self.tick
        return handle

    def ticket(self, tile_id):
        """See `MappingCache`."""
        cdef MappingKey key
        key_of(tile_id, &key)
        return self.ticket_by_key(&key)

    cdef uint32_t ticket_by_key(self, const MappingKey *key) noexcept:
        return self.invalidations[key.hash % INVALIDATION_COUNTERS]

    def put(self, tile_id, handle, uint32_t ticket):
        """See `MappingCache`. Raises `TypeError` for anything but `MappedPixels`, `ValueError` for closed ones and
        for parts."""
        cdef MappingKey key
        cdef Mapping *mapping = mapping_of(handle)
        if mapping.whole != NULL:
            raise ValueError("a part of the pixels can't be cached as a tile")
        key_of(tile_id, &key)
        return self.put_by_key(&key, tile_id, handle, mapping, ticket)

    cdef object put_by_key(
        self, const MappingKey *key, object tile_id, object handle, Mapping *mapping, uint32_t ticket
    ):
        cdef Py_ssize_t number
        if self.closed:
            return handle
        assign_unmap_queue(mapping, self.unmap_queue)
        if self.max_count == 0 or mapping.length > self.max_bytes:
            self.note_id(tile_id)
            return handle
        while not self.closed and find_entry(&self.table, key) < 0 and (
            self.table.free_count == 0 or self.table.mapped_bytes + mapping.length > self.max_bytes
        ):
            self.evict()
        # From here to the end nothing releases the GIL.
        number = find_entry(&self.table, key)
        self.tick += 1
        if number >= 0:  # another reader was faster
            self.table.entries[number].read_at = self.tick
            return new_handle(self.table.entries[number].mapping)
        if self.closed or self.ticket_by_key(key) != ticket:
            return handle
        add_entry(&self.table, key, tile_id, mapping, self.tick)
        self.count_undrained()
        return handle

    def note(self, tile_id):
        """See `MappingCache`. Raises `TypeError` for anything but a `TileId`."""
        cdef MappingKey key
        key_of(tile_id, &key)
        self.note_id(tile_id)

    cdef int note_id(self, object tile_id) except -1:
        cdef PyObject *forgotten
        self.tick += 1
        Py_INCREF(tile_id)
        forgotten = self.note_read(<PyObject *>tile_id, self.tick)
        self.count_undrained()
        if forgotten != NULL:
            Py_DECREF(<object>forgotten)
        return 0

    def invalidate(self, tile_id):
        """See `MappingCache`."""
        cdef MappingKey key
        cdef Py_ssize_t number
        key_of(tile_id, &key)
        self.invalidations[key.hash % INVALIDATION_COUNTERS] += 1
        number = find_entry(&self.table, &key)
        if number >= 0:
            self.remove(number, False)

    def invalidate_all(self):
        """See `MappingCache`."""
        cdef Py_ssize_t number
        for number in range(INVALIDATION_COUNTERS):
            self.invalidations[number] += 1
        for number in range(self.table.used_entries):
            if self.table.entries[number].mapping != NULL:
                self.remove(number, True)

    def drain_reads(self):
        """See `MappingCache`."""
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t number
        cdef Entry *entry
        cdef NotedRead *reads = <NotedRead *>malloc((self.noted_count + self.table.count + 1) * sizeof(NotedRead))
        if reads == NULL:
            raise MemoryError
        for number in range(self.noted_count):
            reads[count] = self.noted[(self.noted_first + number) % self.noted_capacity]
            count += 1
        self.noted_count = 0
        for number in range(self.table.used_entries):
            entry = &self.table.entries[number]
            if entry.mapping != NULL and entry.read_at > self.drained_at:
                Py_INCREF(<object>entry.tile_id)
                reads[count].tile_id = entry.tile_id
                reads[count].read_at = entry.read_at
                count += 1
        self.drained_at = self.tick
        self.undrained = 0
        # The table is consistent: what follows may release the GIL.
        with nogil:
            qsort(reads, <size_t>count, sizeof(NotedRead), &earlier_first)
        drained = []
        try:
            for number in range(count):
                drained.append(<object>reads[number].tile_id)
        finally:
            for number in range(count):
                Py_DECREF(<object>reads[number].tile_id)
            free(reads)
        return drained

    def release(self):
        """See `MappingCache`. Unmaps without the GIL."""
        cdef Py_ssize_t released
        self.woken = False
        released = unmap_pending(self.unmap_queue)
        self.released += released
        return released

    def make_room(self):
        """See `MappingCache`."""
        cdef Py_ssize_t left = self.table.count // 8 + 1
        while left > 0 and self.table.count > 0:
            self.evict()
            left -= 1
        self.release()

    def counts(self):
        """See `MappingCache`."""
        return MappingCacheCounts(
            hits=self.hits,
            misses=self.misses,
            kept=self.table.count,
            kept_bytes=self.table.mapped_bytes,
            evicted=self.evicted,
            released=self.released,
            waiting=self.unmap_queue.count,
            released_by_readers=self.unmap_queue.overflowed,
        )

    def close(self):
        """See `MappingCache`. Afterwards the last handle on a mapping unmaps it, on the thread that closes the handle."""
        cdef Py_ssize_t number
        self.closed = True
        for number in range(self.table.used_entries):
            if self.table.entries[number].mapping != NULL:
                self.remove(number, True)
        self.release()
        self.unmap_queue.closed = True
        self.release()

    cdef int count_undrained(self) except -1:
        """Count a tile whose read is not drained yet. Calls `when_full`: make this the caller's last step."""
        self.undrained += 1
        if self.undrained == self.flush_entries and self.when_full is not None:
            self.when_full()
        return 0

    cdef int remove(self, Py_ssize_t number, bint noting) noexcept:
        """Take an entry out; with `noting`, a read that is not drained yet stays noted. May release the GIL."""
        cdef Entry *entry = &self.table.entries[number]
        cdef Mapping *mapping = entry.mapping
        cdef PyObject *tile_id = entry.tile_id
        take_out(&self.table, number)
        if noting and entry.read_at > self.drained_at:
            tile_id = self.note_read(tile_id, entry.read_at)
        release_mapping(mapping)
        if tile_id != NULL:
            Py_DECREF(<object>tile_id)
        return 0

    cdef int evict(self) except -1:
        """Evict one tile: the next that was not used since the hand passed by, within `MAX_STEPS`."""
        cdef Py_ssize_t steps = 0
        cdef Entry *entry
        while self.table.count > 0:
            self.hand += 1
            if self.hand >= self.table.used_entries:
                self.hand = 0
            entry = &self.table.entries[self.hand]
            if entry.mapping == NULL:
                continue
            steps += 1
            if entry.used and steps < MAX_STEPS:
                entry.used = False
                continue
            self.evicted += 1
            self.remove(self.hand, True)
            break
        if self.unmap_queue.count >= PENDING_UNMAPS_TO_WAKE and not self.woken and self.when_waiting is not None:
            self.woken = True
            self.when_waiting()
        return 0

    cdef PyObject *note_read(self, PyObject *tile_id, uint64_t read_at) noexcept:
        """Note a read, whose reference passes to the ring. Returns the reference that the caller must drop, or NULL."""
        cdef PyObject *forgotten = NULL
        cdef Py_ssize_t position
        if self.noted_count == self.noted_capacity:
            forgotten = self.noted[self.noted_first].tile_id
            self.noted_first = (self.noted_first + 1) % self.noted_capacity
            self.noted_count -= 1
        position = (self.noted_first + self.noted_count) % self.noted_capacity
        self.noted[position].tile_id = tile_id
        self.noted[position].read_at = read_at
        self.noted_count += 1
        return forgotten
