"""Mapped tiles kept between reads: a table of shared mappings with second-chance eviction.

Everything happens under the GIL, which is the only lock; what could let it go, the last reference to a mapping or
to a `TileId`, is dropped when the table is whole again.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort

from _constants cimport MAX_MAPPINGS
from _mapping_keys cimport MappingKey, is_same_key, mapping_key_of
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

    `max_count` mappings of together `max_bytes` are kept. `when_full` is called on the reading thread when
    `flush_entries` tiles were read since the last drain, `when_waiting` when many mappings wait for `release`;
    both must return at once. A reader unmaps nothing, unless 4,096 mappings wait already. Raises `ValueError`
    for bounds below 0 or too large, `MemoryError`.
    """

    def __cinit__(
        self, *, Py_ssize_t max_count, Py_ssize_t max_bytes, Py_ssize_t flush_entries=1000, when_full=None,
        when_waiting=None,
    ):
        cdef uint32_t slot_count = 16
        cdef Py_ssize_t number
        if not 0 <= max_count <= MAX_MAPPINGS or max_bytes < 0 or flush_entries < 1:
            raise ValueError(
                f"can't keep {max_count!r} mappings of {max_bytes!r} bytes with {flush_entries!r} entries to a flush"
            )
        self.max_count = max_count
        self.max_bytes = max_bytes
        self.flush_entries = flush_entries
        self.when_full = when_full
        self.when_waiting = when_waiting
        while slot_count < 2 * max_count:
            slot_count *= 2
        self.slot_mask = slot_count - 1
        self.noted_capacity = MAX_NOTED
        self.slots = <int32_t *>calloc(slot_count, sizeof(int32_t))
        self.entries = <Entry *>calloc(max_count + 1, sizeof(Entry))
        self.free_entries = <int32_t *>malloc((max_count + 1) * sizeof(int32_t))
        self.noted = <NotedRead *>malloc(self.noted_capacity * sizeof(NotedRead))
        self.unmap_queue = new_unmap_queue(MAX_PENDING_UNMAPS)
        if NULL in (self.slots, self.entries, self.free_entries, self.noted, self.unmap_queue):
            raise MemoryError
        for number in range(max_count):
            self.free_entries[number] = max_count - 1 - number
        self.free_count = max_count

    def __dealloc__(self):
        cdef Py_ssize_t number
        if self.unmap_queue != NULL:
            self.unmap_queue.closed = True
            if self.entries != NULL and self.slots != NULL:
                for number in range(self.used_entries):
                    if self.entries[number].mapping != NULL:
                        release_mapping(self.entries[number].mapping)
                        Py_DECREF(<object>self.entries[number].tile_id)
            unmap_pending(self.unmap_queue)
            release_unmap_queue(self.unmap_queue)
        for number in range(self.noted_count):
            Py_DECREF(<object>self.noted[(self.noted_first + number) % self.noted_capacity].tile_id)
        free(self.slots)
        free(self.entries)
        free(self.free_entries)
        free(self.noted)

    def get(self, tile_id):
        """See `MappingCache`. Raises `TypeError` for anything but a `TileId`."""
        cdef MappingKey key
        key_of(tile_id, &key)
        return self.get_by_key(&key)

    cdef object get_by_key(self, const MappingKey *key):
        cdef Entry *entry
        cdef Py_ssize_t number = self.find(key)
        if number < 0:
            self.misses += 1
            return None
        entry = &self.entries[number]
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
        """See `MappingCache`. Raises `TypeError` for anything but `MappedPixels`, `ValueError` for closed ones."""
        cdef MappingKey key
        cdef Mapping *mapping = mapping_of(handle)
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
        while not self.closed and self.find(key) < 0 and (
            self.free_count == 0 or self.cached_bytes + mapping.length > self.max_bytes
        ):
            self.evict()
        # From here to the end nothing can let another thread in.
        number = self.find(key)
        self.tick += 1
        if number >= 0:  # another reader was faster
            self.entries[number].read_at = self.tick
            return new_handle(self.entries[number].mapping)
        if self.closed or self.ticket_by_key(key) != ticket:
            return handle
        self.insert(key, tile_id, mapping)
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
        number = self.find(&key)
        if number >= 0:
            self.remove(number, False)

    def invalidate_all(self):
        """See `MappingCache`."""
        cdef Py_ssize_t number
        for number in range(INVALIDATION_COUNTERS):
            self.invalidations[number] += 1
        for number in range(self.used_entries):
            if self.entries[number].mapping != NULL:
                self.remove(number, True)

    def drain_reads(self):
        """See `MappingCache`."""
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t number
        cdef Entry *entry
        cdef NotedRead *reads = <NotedRead *>malloc((self.noted_count + self.count + 1) * sizeof(NotedRead))
        if reads == NULL:
            raise MemoryError
        for number in range(self.noted_count):
            reads[count] = self.noted[(self.noted_first + number) % self.noted_capacity]
            count += 1
        self.noted_count = 0
        for number in range(self.used_entries):
            entry = &self.entries[number]
            if entry.mapping != NULL and entry.read_at > self.drained_at:
                Py_INCREF(<object>entry.tile_id)
                reads[count].tile_id = entry.tile_id
                reads[count].read_at = entry.read_at
                count += 1
        self.drained_at = self.tick
        self.undrained = 0
        # The table is whole: what comes now may let other threads in.
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
        cdef Py_ssize_t left = self.count // 8 + 1
        while left > 0 and self.count > 0:
            self.evict()
            left -= 1
        self.release()

    def counts(self):
        """See `MappingCache`."""
        return MappingCacheCounts(
            hits=self.hits,
            misses=self.misses,
            kept=self.count,
            kept_bytes=self.cached_bytes,
            evicted=self.evicted,
            released=self.released,
            waiting=self.unmap_queue.count,
            released_by_readers=self.unmap_queue.overflowed,
        )

    def close(self):
        """See `MappingCache`. Afterwards a mapping ends with its last handle, on the thread that lets it go."""
        cdef Py_ssize_t number
        self.closed = True
        for number in range(self.used_entries):
            if self.entries[number].mapping != NULL:
                self.remove(number, True)
        self.release()
        self.unmap_queue.closed = True
        self.release()

    cdef int count_undrained(self) except -1:
        """Count a tile whose read nobody drained yet; the last thing to do, as it may call out."""
        self.undrained += 1
        if self.undrained == self.flush_entries and self.when_full is not None:
            self.when_full()
        return 0

    cdef Py_ssize_t find(self, const MappingKey *key) noexcept:
        """The number of the tile's entry, or -1."""
        cdef uint32_t slot = key.hash & self.slot_mask
        cdef int32_t number
        while True:
            number = self.slots[slot] - 1
            if number < 0:
                return -1
            if self.entries[number].key.hash == key.hash and is_same_key(&self.entries[number].key, key):
                return number
            slot = (slot + 1) & self.slot_mask

    cdef int insert(self, const MappingKey *key, object tile_id, Mapping *mapping) noexcept:
        """Add an entry where there is room for one, read at this tick."""
        cdef uint32_t slot = key.hash & self.slot_mask
        cdef int32_t number
        cdef Entry *entry
        self.free_count -= 1
        number = self.free_entries[self.free_count]
        self.used_entries = max(self.used_entries, number + 1)
        entry = &self.entries[number]
        Py_INCREF(tile_id)
        mapping.references += 1
        entry.key = key[0]
        entry.used = False
        entry.mapping = mapping
        entry.tile_id = <PyObject *>tile_id
        entry.read_at = self.tick
        while self.slots[slot] != 0:
            slot = (slot + 1) & self.slot_mask
        self.slots[slot] = number + 1
        self.count += 1
        self.cached_bytes += mapping.length
        return 0

    cdef int remove(self, Py_ssize_t number, bint noting) noexcept:
        """Take an entry out; with `noting`, a read that nobody drained yet stays noted. May let the GIL go."""
        cdef Entry *entry = &self.entries[number]
        cdef Mapping *mapping = entry.mapping
        cdef PyObject *tile_id = entry.tile_id
        self.empty_slot(number)
        entry.mapping = NULL
        self.free_entries[self.free_count] = <int32_t>number
        self.free_count += 1
        self.count -= 1
        self.cached_bytes -= mapping.length
        if noting and entry.read_at > self.drained_at:
            tile_id = self.note_read(tile_id, entry.read_at)
        release_mapping(mapping)
        if tile_id != NULL:
            Py_DECREF(<object>tile_id)
        return 0

    cdef int empty_slot(self, Py_ssize_t number) noexcept:
        """Empty the entry's slot and close the gap, so that every probe still ends where it should."""
        cdef uint32_t gap = self.entries[number].key.hash & self.slot_mask
        cdef uint32_t slot, home
        while self.slots[gap] != number + 1:
            gap = (gap + 1) & self.slot_mask
        slot = gap
        while True:
            slot = (slot + 1) & self.slot_mask
            if self.slots[slot] == 0:
                break
            home = self.entries[self.slots[slot] - 1].key.hash & self.slot_mask
            # It may move to the gap unless its home lies between gap (exclusive) and where it is.
            if ((slot - home) & self.slot_mask) >= ((slot - gap) & self.slot_mask):
                self.slots[gap] = self.slots[slot]
                gap = slot
        self.slots[gap] = 0
        return 0

    cdef int evict(self) except -1:
        """Let one tile go, one that was not used since the hand passed by if there is one near."""
        cdef Py_ssize_t steps = 0
        cdef Entry *entry
        while self.count > 0:
            self.hand += 1
            if self.hand >= self.used_entries:
                self.hand = 0
            entry = &self.entries[self.hand]
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
        """Remember a read, taking over the reference; the one forgotten for it, to be given up, or NULL."""
        cdef PyObject *forgotten = NULL
        cdef Py_ssize_t place
        if self.noted_count == self.noted_capacity:
            forgotten = self.noted[self.noted_first].tile_id
            self.noted_first = (self.noted_first + 1) % self.noted_capacity
            self.noted_count -= 1
        place = (self.noted_first + self.noted_count) % self.noted_capacity
        self.noted[place].tile_id = tile_id
        self.noted[place].read_at = read_at
        self.noted_count += 1
        return forgotten
