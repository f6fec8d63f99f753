"""Cached mappings by tile: entries, found by hash through slots that are probed linearly. All under the GIL."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from _mapping_keys cimport MappingKey, is_same_key
from _mappings cimport Mapping


cdef struct Entry:
    MappingKey key
    bint used              # since the hand of the eviction passed by
    Mapping *mapping       # NULL: the entry is free
    PyObject *tile_id
    uint64_t read_at       # the tick of its last read


cdef struct MappingTable:
    Entry *entries
    int32_t *slots         # entry number + 1 by hash, 0 for none; at most half full
    uint32_t slot_mask
    int32_t *free_entries
    Py_ssize_t free_count
    Py_ssize_t used_entries  # entries from here on were never used
    Py_ssize_t count
    Py_ssize_t mapped_bytes


cdef inline int allocate_table(MappingTable *table, Py_ssize_t max_count) noexcept:
    """Make room for `max_count` entries; -1 without memory, and `free_table` is due either way."""
    cdef uint32_t slot_count = 16
    cdef Py_ssize_t number
    while slot_count < 2 * max_count:
        slot_count *= 2
    table.slot_mask = slot_count - 1
    table.slots = <int32_t *>calloc(slot_count, sizeof(int32_t))
    table.entries = <Entry *>calloc(max_count + 1, sizeof(Entry))
    table.free_entries = <int32_t *>malloc((max_count + 1) * sizeof(int32_t))
    if table.slots == NULL or table.entries == NULL or table.free_entries == NULL:
        return -1
    for number in range(max_count):
        table.free_entries[number] = <int32_t>(max_count - 1 - number)
    table.free_count = max_count
    return 0


cdef inline int free_table(MappingTable *table) noexcept:
    """Free the memory of the table; what its entries refer to is the caller's."""
    free(table.slots)
    free(table.entries)
    free(table.free_entries)
    return 0


cdef inline Py_ssize_t find_entry(const MappingTable *table, const MappingKey *key) noexcept:
    """The number of the tile's entry, or -1."""
    cdef uint32_t slot = key.hash & table.slot_mask
    cdef int32_t number
    while True:
        number = table.slots[slot] - 1
        if number < 0:
            return -1
        if table.entries[number].key.hash == key.hash and is_same_key(&table.entries[number].key, key):
            return number
        slot = (slot + 1) & table.slot_mask


cdef inline int add_entry(
    MappingTable *table, const MappingKey *key, object tile_id, Mapping *mapping, uint64_t read_at
) noexcept:
    """Add an entry, with references of its own; the table has room and lacks the tile."""
    cdef uint32_t slot = key.hash & table.slot_mask
    cdef int32_t number
    cdef Entry *entry
    table.free_count -= 1
    number = table.free_entries[table.free_count]
    table.used_entries = max(table.used_entries, number + 1)
    entry = &table.entries[number]
    Py_INCREF(tile_id)
    mapping.references += 1
    entry.key = key[0]
    entry.used = False
    entry.mapping = mapping
    entry.tile_id = <PyObject *>tile_id
    entry.read_at = read_at
    while table.slots[slot] != 0:
        slot = (slot + 1) & table.slot_mask
    table.slots[slot] = number + 1
    table.count += 1
    table.mapped_bytes += mapping.length
    return 0


cdef inline int take_out(MappingTable *table, Py_ssize_t number) noexcept:
    """Free an entry; its two references go to the caller."""
    empty_slot(table, number)
    table.mapped_bytes -= table.entries[number].mapping.length
    table.entries[number].mapping = NULL
    table.free_entries[table.free_count] = <int32_t>number
    table.free_count += 1
    table.count -= 1
    return 0


cdef inline int empty_slot(MappingTable *table, Py_ssize_t number) noexcept:
    """Empty the entry's slot and close the gap, so that every probe still ends where it should."""
    cdef uint32_t gap = table.entries[number].key.hash & table.slot_mask
    cdef uint32_t slot, home
    while table.slots[gap] != number + 1:
        gap = (gap + 1) & table.slot_mask
    slot = gap
    while True:
        slot = (slot + 1) & table.slot_mask
        if table.slots[slot] == 0:
            break
        home = table.entries[table.slots[slot] - 1].key.hash & table.slot_mask
        # The entry may move to the gap unless its home lies between the gap (exclusive) and its slot.
        if ((slot - home) & table.slot_mask) >= ((slot - gap) & table.slot_mask):
            table.slots[gap] = table.slots[slot]
            gap = slot
    table.slots[gap] = 0
    return 0
